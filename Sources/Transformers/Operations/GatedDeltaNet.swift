// Linear attention by the gated delta rule, as data and as an operation.

internal import LinearAlgebra

/// Linear attention whose state forgets and corrects itself (Yang et al. 2024, "Gated Delta Networks"), as Qwen3-Next and Qwen3.5 have it.
///
/// Queries, keys and values pass a short causal convolution and SiLU. Each value head has a state S: [keySize, valueSize], which a token with decay g and
/// rate b changes to S' = g S + k d^T with d = b (v - g S^T k); its context is S'^T q, normalised and multiplied with SiLU of the gate z.
struct GatedDeltaNet: StageEffect {
    /// Where queries, keys, values and gates lie in the outputs of the stage's linears.
    enum Layout: Sendable {
        /// One linear: of each key head its query, key, values and gates (Qwen3-Next).
        case perKeyHead
        /// All queries, keys and values in one linear, the gates in another (Qwen3.5).
        case separate
    }

    let layout: Layout
    /// Which of the stage's key heads these are.
    var keyHeads: Range<Int>
    let allKeyHeads: Int
    /// Value heads for each key head.
    let shared: Int
    let keySize: Int
    let valueSize: Int
    /// Tokens that the convolution sees.
    let taps: Int
    let epsilon: Float
    /// Of the rates and decays of each value head: one linear with both of each key head, or two.
    var gates: [Linear]
    /// [channels, 1, taps], the channels being all queries, all keys, all values.
    var convolution: ExpectedTensor
    /// Of each value head: the logarithm of how fast it forgets, and what is added before.
    var decay: ExpectedTensor
    var decayBias: ExpectedTensor
    /// Of a context: [valueSize]
    var norm: ExpectedTensor

    /// Rows of a key head among all linears.
    private var headRows: Int { 2 * keySize + 2 * shared * valueSize }
    private var valueHeads: Int { keyHeads.count * shared }
    private var allKeys: Int { allKeyHeads * keySize }

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

    /// What a value head takes from the outputs of the parts of a piece.
    enum Role {
        case query
        case key
        case value
        case gate
    }

    /// Where a value head's numbers begin: which output, and which of its columns.
    func place(_ role: Role, valueHead: Int) -> (output: Int, column: Int) {
        let (key, within) = (valueHead / shared, valueHead % shared)
        switch layout {
        case .perKeyHead:
            let start = key * headRows
            switch role {
            case .query: return (0, start)
            case .key: return (0, start + keySize)
            case .value: return (0, start + 2 * keySize + within * valueSize)
            case .gate: return (0, start + 2 * keySize + (shared + within) * valueSize)
            }
        case .separate:
            switch role {
            case .query: return (0, key * keySize)
            case .key: return (1, key * keySize)
            case .value: return (2, valueHead * valueSize)
            case .gate: return (3, valueHead * valueSize)
            }
        }
    }

    /// The first channel of the convolution for a value head's query, key or value.
    func channel(_ role: Role, valueHead: Int) -> Int {
        let key = keyHeads.lowerBound + valueHead / shared
        switch role {
        case .query: return key * keySize
        case .key: return allKeys + key * keySize
        case .value, .gate: return 2 * allKeys + (keyHeads.lowerBound * shared + valueHead) * valueSize
        }
    }

    /// Where the outputs of the gates' linears have a value head's rate and decay.
    func gatePlaces(valueHead: Int) -> (rate: (output: Int, column: Int), decay: (output: Int, column: Int)) {
        let (key, within) = (valueHead / shared, valueHead % shared)
        guard layout == .perKeyHead else { return ((0, valueHead), (1, valueHead)) }
        return ((0, 2 * key * shared + within), (0, (2 * key + 1) * shared + within))
    }
}
