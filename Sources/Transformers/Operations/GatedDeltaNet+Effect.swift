// Linear attention by the gated delta rule as an operation.

internal import LinearAlgebra

extension GatedDeltaNet: StageEffect {
    func destination(of linears: [Linear]) -> Destination { .value(Value(name: linears[0].name, columns: valueHeads * valueSize)) }

    var seesOtherTokens: Bool { true }

    var ownLinears: [Linear] { gates }
    var parameters: [ExpectedTensor] { [convolution, decay, decayBias, norm] }

    func renamed(_ file: (String) -> String) -> GatedDeltaNet {
        var renamed = self
        renamed.gates = gates.map { $0.renamed(file) }
        renamed.convolution = convolution.renamed(file)
        renamed.decay = decay.renamed(file)
        renamed.decayBias = decayBias.renamed(file)
        renamed.norm = norm.renamed(file)
        return renamed
    }

    /// Some key heads each, with the value heads that share them.
    func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        evenRanges(allKeyHeads, unit: 1, leastSize: (leastRows + headRows - 1) / headRows).map { heads in
            var some = self
            some.keyHeads = heads
            func rows(_ start: Int, _ size: Int) -> Range<Int> { start + heads.lowerBound * size..<start + heads.upperBound * size }
            let values = shared * valueSize
            let parts: [Piece.Part] =
                switch layout {
                case .perKeyHead: [Piece.Part(linear: 0, rows: rows(0, headRows))]
                case .separate:
                    [rows(0, keySize), rows(allKeys, keySize), rows(2 * allKeys, values)].map { Piece.Part(linear: 0, rows: $0) }
                        + [Piece.Part(linear: 1, rows: rows(0, values))]
                }
            return Piece(parts: parts, effect: some, columns: rows(0, values))
        }
    }

    /// Four passes over the state, and the convolution.
    func operations(length: Int) -> Double {
        let state = 8 * valueHeads * keySize * valueSize, channels = keyHeads.count * 2 * keySize + valueHeads * valueSize
        return Double(length) * Double(state + 2 * taps * channels)
    }

    /// The outputs in fp32 and those of the gates; for each thread a state, and the contexts of a head.
    func workspaceBytes(rows: Int, tokens: Int, compute: Compute, threads: Int) -> Int {
        (tokens * (rows + 2 * valueHeads) + threads * (keySize + tokens) * valueSize) * MemoryLayout<Float>.size
    }

    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        guard case .value(let contexts) = target else { preconditionFailure("contexts that are added to a stream") }
        let gateOutputs = gates.compactMap { linear in
            let size = linear.rows / allKeyHeads
            return context.linears[linear]?.rows(keyHeads.lowerBound * size..<keyHeads.upperBound * size).apply(to: input)
        }
        let heads = DeltaHeads(
            self, outputs: weights.outputs(of: input), gates: gateOutputs,
            convolution: context.numbers(convolution), decay: context.numbers(decay), decayBias: context.numbers(decayBias), norm: context.numbers(norm))
        parallelFor(valueHeads) { head in
            contexts.columns(head * valueSize..<(head + 1) * valueSize).store(heads.contexts(of: head))
        }
    }
}
