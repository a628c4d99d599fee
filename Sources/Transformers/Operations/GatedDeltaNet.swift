// Linear attention by the gated delta rule, as data.

/// Linear attention whose state forgets and corrects itself (Yang et al. 2024, "Gated Delta Networks"), as Qwen3-Next and Qwen3.5 have it.
///
/// Queries, keys and values pass a short causal convolution and SiLU. Each value head has a state S: [keySize, valueSize], which a token with decay g and
/// rate b changes to S' = g S + k d^T with d = b (v - g S^T k); its context is S'^T q, normalised and multiplied with SiLU of the gate z.
struct GatedDeltaNet: Sendable, Hashable {
    /// Where queries, keys, values and gates lie in the outputs of the stage's linears.
    enum HeadLayout: Sendable {
        /// One linear: of each key head its query, key, values and gates (Qwen3-Next).
        case perKeyHead
        /// All queries, keys and values in one linear, the gates in another (Qwen3.5).
        case separate
    }

    let layout: HeadLayout
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
    var headRows: Int { 2 * keySize + 2 * shared * valueSize }
    var valueHeads: Int { keyHeads.count * shared }
    var allKeys: Int { allKeyHeads * keySize }

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
