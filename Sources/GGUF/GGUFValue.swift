// Values of a GGUF file's metadata.

/// A value with its type. Source: ggml, `docs/gguf.md`.
public enum GGUFValue: Sendable, Equatable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case strings([String])
    case int32s([Int32])
    case float32s([Float])
    case uint64(UInt64)
    case int64(Int64)
    case float64(Double)
    /// Of another type, which is passed over: how many elements.
    case otherArray(count: Int)
}

/// A key of the metadata and its value.
public struct GGUFEntry: Sendable, Equatable {
    public let key: String
    public let value: GGUFValue

    public init(_ key: String, _ value: GGUFValue) {
        self.key = key
        self.value = value
    }
}

/// The numbers of the types in a file.
enum GGUFValueType: UInt32 {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of a number; nil for what has no fixed length.
    var byteCount: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}
