// Which types of numbers are blocks, and which takes the place of one whose blocks do not divide the columns.

extension NumberType {
    /// nil of types whose groups stand alone.
    public var blocks: BlockRules? {
        switch self {
        case .int, .fp8, .int8, .mxfp8, .mxfp4, .nvfp4, .ternary, .spqr: nil
        case .q8_0: .q8_0
        case .q5_1: .q5_1
        case .q5_0: .q5_0
        case .q4_1: .q4_1
        case .q4_0: .q4_0
        case .q6_k: .q6_k
        case .q5_k: .q5_k
        case .q4_k: .q4_k
        case .q3_k: .q3_k
        case .q2_k: .q2_k
        case .iq4_nl: .iq4_nl
        }
    }

    /// The type that takes this one's place in linears whose columns are no whole blocks of it: its own where they are; nil where no type has such blocks.
    ///
    /// Source: llama.cpp, `llama-quant.cpp`, the fallbacks of `llama_tensor_get_type`.
    public func fitting(columns: Int) -> NumberType? {
        guard let blocks, columns % blocks.columns != 0 else { return self }
        let smaller: NumberType? =
            switch self {
            case .q6_k: .q8_0
            case .q5_k: .q5_1
            case .q4_k: .q5_0
            case .q3_k, .q2_k: .q4_0
            default: nil
            }
        return smaller?.fitting(columns: columns)
    }
}
