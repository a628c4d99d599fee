// What clients do with the inputs of a quantized linear before they multiply.

/// How a client quantizes the inputs of a linear. Cleave finds weights for inputs as they are.
public enum ActivationQuantization: String, Sendable, Codable, CaseIterable {
    /// Not at all.
    case none
    /// Each token, or each group of its columns, by its own range, as it comes.
    case dynamic
    /// By one scale for all tokens, which follows from the largest input of the calibration and is stored beside the weight.
    case `static`
}

extension NumberType {
    /// What clients know to do with the inputs of weights of this type; what they do where nothing is said comes first.
    public func activations(_ strategy: ScaleStrategy) -> [ActivationQuantization] {
        switch self {
        case .fp8: strategy == .block ? [.dynamic] : [.dynamic, .static, .none]
        case .int8: [.dynamic, .static]
        case .mxfp8: [.dynamic]
        case .nvfp4: [.none, .static]
        case .int, .ternary, .mxfp4, .q8_0, .q6_k, .q5_k, .q5_1, .q5_0, .q4_k, .q4_1, .q4_0, .q3_k, .q2_k, .iq4_nl: [.none]
        }
    }
}
