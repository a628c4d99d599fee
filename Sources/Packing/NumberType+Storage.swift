// How a result stores each type of numbers, and how clients compute with it.

public import Compression

extension NumberType {
    /// nil of blocks, which GGUF alone has, and of ternary numbers.
    var compressedTensorsStorage: (any CompressedTensorsStorage)? {
        switch self {
        case .int: PackedIntegers()
        case .fp8, .int8, .mxfp8: EightBitNumbers(number: self)
        case .mxfp4, .nvfp4: FourBitNumbers(number: self)
        case .ternary, .spqr, .q8_0, .q6_k, .q5_k, .q5_1, .q5_0, .q4_k, .q4_1, .q4_0, .q3_k, .q2_k, .iq4_nl: nil
        }
    }

    /// What compressed-tensors calls its format; nil where it has none.
    public var storedFormat: String? { compressedTensorsStorage?.format }

}

extension QuantizationOptions {
    /// How clients compute with a result in compressed-tensors' format.
    public var arithmetic: String {
        switch activations {
        case .none: "weights times activations as they are"
        case .dynamic: "weights times activations that clients round to \(activationType.rawValue) as they come"
        case .static: "weights times activations that clients round to \(activationType.rawValue) by a scale from the calibration"
        }
    }
}
