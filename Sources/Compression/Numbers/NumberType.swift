// The types of numbers to which weights are rounded, each times a scale.

/// What a weight becomes before its scale multiplies it. A new type is a file of `NumberRules` beside this one and its line below.
public enum NumberType: String, Sendable, Codable, CaseIterable {
    /// Integer codes of 2, 3, 4 or 8 bits with a zero point: the only type whose bits and groups are free.
    case int
    /// Floating-point numbers of 8 bits (E4M3) with scales of the weights' type.
    case fp8
    /// Integers of 8 bits without a zero point, which clients multiply as they are.
    case int8
    /// E4M3 with powers of two as scales.
    case mxfp8
    /// Floating-point numbers of 4 bits (E2M1) with powers of two as scales.
    case mxfp4
    /// E2M1 with scales in E4M3 and one number for the whole weight.
    case nvfp4
    /// Zero and two numbers for each row, one below zero and one above; see `TernarySearch`.
    case ternary
    /// Integer codes on grids of SpQR, whose scales and zero points are codes themselves, with outliers beside them; see `SpQRScales`.
    case spqr
    /// Blocks of GGUF; see `BlockRules`.
    case q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0, q3_k, q2_k, iq4_nl

    /// nil of integer codes, which `GridRanges` makes, of blocks, which `BlockSearch` fits, of ternary numbers, and of SpQR's.
    public var rules: (any NumberRules)? {
        switch self {
        case .int, .ternary, .spqr: nil
        case .fp8: Float8Rules()
        case .int8: Integer8Rules()
        case .mxfp8: MicroscalingRules.fp8
        case .mxfp4: MicroscalingRules.fp4
        case .nvfp4: NVFP4Rules()
        case .q8_0, .q6_k, .q5_k, .q5_1, .q5_0, .q4_k, .q4_1, .q4_0, .q3_k, .q2_k, .iq4_nl: nil
        }
    }

    /// Numbers that the weights of a group have beside their codes: one scale, or the two of ternary rows.
    public var numbersOfGroup: Int { self == .ternary ? 2 : 1 }
}
