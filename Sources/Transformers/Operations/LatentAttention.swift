// Multi-head latent attention: keys and values of all heads come from one short vector of each token.

internal import LinearAlgebra

/// Causal self-attention over the outputs of a stage that makes keys and values from the latent vector (DeepSeek-V2, Liu et al. 2024, section 2.1).
///
/// A head's query is [plain | rotated]; its key is the plain part that the stage makes, and one rotated part that all heads share. The stage's linear gives
/// [plain part of the key | value] of each head.
struct LatentAttention: StageEffect {
    var heads: Int
    /// Elements of a head's query and key that are not rotated, and that are.
    let plainSize: Int
    let rotatedSize: Int
    let valueSize: Int
    /// Factor of the scores.
    let scale: Float
    /// nil where config.json leaves nothing to rotate.
    let rotary: Rotary?
    /// The queries of all heads, and the part of the key that all heads share, before rotation.
    var queries: ValuePart
    let sharedKey: ValuePart

    var shape: LatentShape {
        LatentShape(heads: heads, plainSize: plainSize, rotatedSize: rotatedSize, valueSize: valueSize, scale: scale, rotary: rotary)
    }

    private var querySize: Int { plainSize + rotatedSize }
    /// Outputs of the linear for a head.
    private var outputSize: Int { plainSize + valueSize }

    func destination(of linears: [Linear]) -> Destination { .value(Value(name: linears[0].name, columns: heads * valueSize)) }

    var seesOtherTokens: Bool { true }

    var cache: TokenCache { .latent }

    var reads: [ValuePart] { [queries, sharedKey] }

    func headValues(of linears: [Linear]) -> OutputValues? {
        OutputValues(linear: 0, first: plainSize, length: valueSize, period: outputSize, size: valueSize)
    }

    /// Some heads each.
    func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        evenRanges(heads, unit: 1, leastSize: (leastRows + outputSize - 1) / outputSize).map { group in
            var some = self
            some.heads = group.count
            let start = queries.columns.lowerBound
            some.queries = ValuePart(queries.value, columns: start + group.lowerBound * querySize..<start + group.upperBound * querySize)
            return Piece(
                parts: [Piece.Part(linear: 0, rows: group.lowerBound * outputSize..<group.upperBound * outputSize)], effect: some,
                columns: group.lowerBound * valueSize..<group.upperBound * valueSize)
        }
    }

    /// Scores and contexts of each pair of a token and one that it sees.
    func operations(length: Int) -> Double { 2 * Double(heads * (querySize + valueSize)) * causalPairs(length: length, window: nil) }

    /// The linear's outputs in fp32, queries, keys and values as operands, a sequence's table of scores for each thread.
    func workspaceBytes(rows: Int, tokens: Int, compute: Compute, threads: Int) -> Int {
        let heads = rows / outputSize
        let operands = tokens * heads * (2 * querySize + valueSize) * compute.byteCount
        let number = MemoryLayout<Float>.size + (compute == .bf16 ? compute.byteCount : 0)
        return tokens * rows * MemoryLayout<Float>.size + operands + threads * min(CausalHeads.blockRows, tokens) * tokens * number
    }

    /// softmax(scale Q K^T) V of each head of one sequence.
    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        guard case .value(let contexts) = target else { preconditionFailure("contexts that are added to a stream") }
        let tokens = input.rows
        let outputs = weights[0].apply(to: input)
        let rotation = rotary.map { context.rotations.table($0, positions: tokens) }
        let queries = Operand(uninitialized: context.compute, tokens, heads * querySize)
        let keys = Operand(uninitialized: context.compute, tokens, heads * querySize)
        let values = Operand(uninitialized: context.compute, tokens, heads * valueSize)
        forEachRowRange(tokens) { rows in
            let asked = context.values[0].rows(rows).widened(), shared = context.values[1].rows(rows).widened()
            // Copies: in fp32 the values themselves would be rotated.
            let query = asked.copy(), sharedKey = shared.copy(), made = outputs.rows(rows)
            for (row, position) in rows.enumerated() {
                rotation?.rotate(sharedKey.row(row), position: position)
                for head in 0..<heads { rotation?.rotate(query.row(row) + head * querySize + plainSize, position: position) }
            }
            queries.rows(rows).store(query)
            for head in 0..<heads {
                let key = keys.rows(rows).columns(head * querySize..<(head + 1) * querySize), start = head * outputSize
                key.columns(0..<plainSize).store(made.columns(start..<start + plainSize))
                key.columns(plainSize..<querySize).store(sharedKey)
                values.rows(rows).columns(head * valueSize..<(head + 1) * valueSize).store(made.columns(start + plainSize..<start + outputSize))
            }
        }
        func windows(_ matrix: Operand, _ size: Int) -> [Operand] { (0..<heads).map { matrix.columns($0 * size..<($0 + 1) * size) } }
        CausalHeads(
            queries: windows(queries, querySize), keys: windows(keys, querySize), values: windows(values, valueSize), scale: scale, window: nil
        ).attend(into: contexts)
    }
}

/// The extents of latent attention, and how it rotates and scales.
package struct LatentShape: Sendable, Hashable {
    package let heads: Int
    /// Elements of a head's query and key that are not rotated, and that are.
    package let plainSize: Int
    package let rotatedSize: Int
    package let valueSize: Int
    /// Factor of the scores.
    package let scale: Float
    package let rotary: Rotary?
}

extension Stage {
    /// That of a stage of keys and values from a latent vector; nil of other stages.
    package var latentShape: LatentShape? { (effect as? LatentAttention)?.shape }
}
