// Causal self-attention of the outputs of a stage that makes queries, keys and values.

internal import LinearAlgebra

extension Attention: StageEffect {
    public func destination(of linears: [Linear]) -> Destination { .value(Value(name: linears[0].name, columns: contextColumns)) }

    public var seesOtherTokens: Bool { true }

    public var cache: TokenCache { .heads(keyValueHeads) }

    public var norms: [Norm] { [queryNorm, keyNorm].compactMap { $0 } }

    public var parameters: [ExpectedTensor] { sinks.map { [$0] } ?? [] }

    /// Gates multiply elements of what the heads give.
    public func headValues(of linears: [Linear]) -> OutputValues? { isGated ? nil : scalableValues(of: linears) }

    /// A largest magnitude cuts elements of values.
    public func scalableValues(of linears: [Linear]) -> OutputValues? {
        guard clip == nil else { return nil }
        let (linear, columns) = place(.value, head: 0)
        return OutputValues(
            linear: linear, first: columns.lowerBound, length: layout == .perGroup ? headSize : keyValueHeads * headSize,
            period: layout == .perGroup ? (shared + 2) * headSize : linears[linear].rows, size: headSize)
    }

    public func renamed(_ file: (String) -> String) -> Attention {
        var renamed = self
        renamed.queryNorm = queryNorm?.renamed(file)
        renamed.keyNorm = keyNorm?.renamed(file)
        renamed.sinks = sinks?.renamed(file)
        return renamed
    }

    /// Groups of key-value heads with the query heads that share them.
    public func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        // Rows of a group's widest part.
        let width = (layout == .perGroup ? shared + 2 : isGated ? 2 * shared : shared) * headSize
        let groups = evenRanges(keyValueHeads, unit: 1, leastSize: (leastRows + width - 1) / width)
        // A norm over the whole width needs all heads.
        guard groups.count > 1, queryNorm.map({ $0.size == headSize }) ?? true else { return [whole(linears, columns: contextColumns)] }
        return groups.map { group in
            let queries = group.lowerBound * shared * headSize..<group.upperBound * shared * headSize
            let keys = group.lowerBound * headSize..<group.upperBound * headSize
            let parts: [Piece.Part] =
                switch layout {
                case .separate: [(0, isGated ? 2 * queries.lowerBound..<2 * queries.upperBound : queries), (1, keys), (2, keys)].map(Piece.Part.init)
                case .fused:
                    [queries, keys.shifted(by: contextColumns), keys.shifted(by: contextColumns + keyValueHeads * headSize)].map {
                        Piece.Part(linear: 0, rows: $0)
                    }
                case .perGroup: [Piece.Part(linear: 0, rows: (shared + 2) * keys.lowerBound..<(shared + 2) * keys.upperBound)]
                }
            return Piece(parts: parts, effect: of(group), columns: queries)
        }
    }

    /// The attention of some key-value heads, whose queries, keys and values lie beside those of no others.
    private func of(_ group: Range<Int>) -> Attention {
        var some = self
        some.layout = layout == .perGroup ? .perGroup : .separate
        some.heads = group.count * shared
        some.keyValueHeads = group.count
        some.firstKeyValueHead += group.lowerBound
        some.bias = bias?.of(group.lowerBound * shared..<group.upperBound * shared)
        return some
    }

    /// Scores and contexts: 2 * 2 * heads * headSize for each pair of a token and one that it sees.
    public func operations(length: Int) -> Double { 4 * Double(contextColumns) * causalPairs(length: length, window: window) }

    /// The projections in fp32 and as operands, the scores of a block of query rows for each thread, and what is added to scores.
    public func workspaceBytes(rows: Int, tokens: Int, compute: Compute, threads: Int) -> Int {
        let number = MemoryLayout<Float>.size + (compute == .bf16 ? compute.byteCount : 0)
        return (bias?.slopes.count ?? 0) * tokens * MemoryLayout<Float>.size + (tokens * rows + threads * min(CausalHeads.blockRows, tokens) * tokens) * number
    }

    /// softmax(scale Q K^T) V of each head of one sequence.
    public func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        guard case .value(let contexts) = target else { preconditionFailure("contexts that are added to a stream") }
        let rotation = rotary.map { context.rotations.table($0, positions: input.rows) }
        let heads = AttentionHeads(
            self, outputs: weights.outputs(of: input), queryNorm: queryNorm.flatMap { context.norms[$0] }, keyNorm: keyNorm.flatMap { context.norms[$0] },
            rotation: rotation, compute: context.compute)
        if let cache = context.cache { heads.note(in: cache) }
        let first = firstKeyValueHead * shared
        heads.attend(into: contexts, sinks: sinks.map { Array(context.numbers($0)[first..<first + self.heads]) })
    }
}

/// Pairs of a token and one that it sees: the causal half, inside the window. Token i sees min(i + 1, window) keys.
package func causalPairs(length: Int, window: Int?) -> Double {
    let seen = min(window ?? length, length)
    return Double(seen) * Double(seen) / 2 + Double(length - seen) * Double(seen)
}

extension Range<Int> {
    fileprivate func shifted(by distance: Int) -> Range { lowerBound + distance..<upperBound + distance }
}
