// The attention stage: projections of one sequence at a time, then its heads.

internal import LinearAlgebra

extension Forward {
    /// The heads' contexts: [tokens, heads * headSize].
    func attend(_ attention: Attention, _ weights: [LinearWeights], _ input: Operand, _ sequences: [Range<Int>]) throws -> Operand {
        let queryNorm = try attention.queryNorm.map { try vectors.weights($0) }
        let keyNorm = try attention.keyNorm.map { try vectors.weights($0) }
        let rotation = attention.rotary.map { rotations.table($0, positions: sequences.map(\.count).max() ?? 0) }
        let result = Operand(uninitialized: compute, input.rows, attention.contextColumns)
        for sequence in sequences {
            let outputs = weights.map { $0.apply(to: input.rows(sequence)) }
            let heads = AttentionHeads(
                attention, outputs: outputs, queryNorm: queryNorm, keyNorm: keyNorm, rotation: rotation, compute: compute)
            heads.attend(into: result.rows(sequence))
        }
        return result
    }
}
