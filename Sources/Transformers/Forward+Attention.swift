// Attention of a piece: projections of one sequence, then its heads.

internal import LinearAlgebra

/// The norms of each head's query and key, where the model has them.
public struct HeadNorms: Sendable {
    let query: NormWeights?
    let key: NormWeights?
}

extension Forward {
    /// The head norms of a stage.
    ///
    /// - Throws: what the source throws, and `ForwardError` for a tensor of another shape.
    public func headNorms(of stage: Stage) throws -> HeadNorms {
        guard case .attention(let attention) = stage.effect else { return HeadNorms(query: nil, key: nil) }
        return HeadNorms(query: try attention.queryNorm.map { try vectors.weights($0) }, key: try attention.keyNorm.map { try vectors.weights($0) })
    }

    /// The contexts of some heads in one sequence: [tokens, heads * headSize].
    func attend(_ attention: Attention, _ weights: [LinearWeights], _ norms: HeadNorms, _ input: Operand, into target: Operand) {
        let rotation = attention.rotary.map { rotations.table($0, positions: input.rows) }
        let heads = AttentionHeads(
            attention, outputs: weights.outputs(of: input), queryNorm: norms.query, keyNorm: norms.key, rotation: rotation, compute: compute)
        heads.attend(into: target)
    }
}
