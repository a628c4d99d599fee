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
    /// In which numbers clients know to round the inputs of weights of this type. Those of the type itself are the ones where nothing is said; integers have none
    /// of their own. Others come by their own range, as they come.
    public var activationTypes: [NumberType] {
        switch self {
        case .fp8, .int8, .mxfp8, .nvfp4: [self]
        case .mxfp4: [.mxfp4, .fp8, .mxfp8]
        case .int: [.fp8]
        case .ternary, .spqr, .q8_0, .q6_k, .q5_k, .q5_1, .q5_0, .q4_k, .q4_1, .q4_0, .q3_k, .q2_k, .iq4_nl: []
        }
    }

    /// What clients know to do with the inputs of weights of this type; what they do where nothing is said comes first.
    public func activations(_ strategy: ScaleStrategy) -> [ActivationQuantization] {
        switch self {
        case .fp8: strategy == .block ? [.dynamic] : [.dynamic, .static, .none]
        case .int8: [.dynamic, .static]
        case .mxfp8: [.dynamic]
        case .nvfp4: [.none, .static]
        case .int, .mxfp4: [.none, .dynamic]
        case .ternary, .spqr, .q8_0, .q6_k, .q5_k, .q5_1, .q5_0, .q4_k, .q4_1, .q4_0, .q3_k, .q2_k, .iq4_nl: [.none]
        }
    }
}
