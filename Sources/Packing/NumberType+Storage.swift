// How a result stores each type of numbers, and how clients compute with it.

public import Compression

extension NumberType {
    var compressedTensorsStorage: any CompressedTensorsStorage {
        switch self {
        case .int: PackedIntegers()
        case .fp8, .int8, .mxfp8: EightBitNumbers(number: self)
        case .mxfp4, .nvfp4: FourBitNumbers(number: self)
        }
    }

    /// What compressed-tensors calls its format.
    public var storedFormat: String { compressedTensorsStorage.format }

    /// How clients compute with a result in compressed-tensors' format.
    public var arithmetic: String {
        switch self {
        case .int, .mxfp4, .nvfp4: "weights times activations as they are"
        case .fp8, .int8, .mxfp8: "weights times activations that clients round to \(rawValue) as they come"
        }
    }
}
