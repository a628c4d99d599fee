// The element types of the safetensors format, in the order in which its reference writer sorts them.

/// The type of a tensor's elements; the raw value is the name in the file.
///
/// Cases stand in the reference writer's order (the `Dtype` enum of `safetensors/src/tensor.rs`), from the smallest
/// alignment to the largest: `SafetensorsLayout` relies on it.
public enum ElementType: String, Sendable, Codable, CaseIterable {
    case bool = "BOOL"
    case f4 = "F4"
    case f6e2m3 = "F6_E2M3"
    case f6e3m2 = "F6_E3M2"
    case u8 = "U8"
    case i8 = "I8"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3 = "F8_E4M3"
    case f8e8m0 = "F8_E8M0"
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    case i16 = "I16"
    case u16 = "U16"
    case f16 = "F16"
    case bf16 = "BF16"
    case i32 = "I32"
    case u32 = "U32"
    case f32 = "F32"
    case c64 = "C64"
    case f64 = "F64"
    case i64 = "I64"
    case u64 = "U64"

    /// Size of one element in bits; below 8 for packed types.
    public var bits: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }

    /// The number of bytes that a tensor of this type and shape takes.
    ///
    /// Dimensions are multiplied in order with overflow checks, also where a later one is 0, as the reference reader
    /// does.
    /// - Throws: the reason, for the caller to add which tensor and file it concerns.
    func byteCount(shape: [Int]) throws(InvalidShape) -> Int {
        var count = 1
        for dimension in shape {
            guard dimension >= 0 else { throw InvalidShape(reason: "shape \(shape) has a negative dimension") }
            count = try Self.product(count, dimension, shape: shape)
        }
        let bitCount = try Self.product(count, bits, shape: shape)
        guard bitCount.isMultiple(of: 8) else {
            throw InvalidShape(reason: "shape \(shape) of \(bits)-bit elements (\(rawValue)) does not fill whole bytes")
        }
        return bitCount / 8
    }

    private static func product(_ a: Int, _ b: Int, shape: [Int]) throws(InvalidShape) -> Int {
        // The reference counts bits in an unsigned 64-bit integer; the last bit of range is out of any disk's reach.
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        guard !overflow else { throw InvalidShape(reason: "shape \(shape) has more elements than 64 bits can count") }
        return product
    }
}

/// Why no tensor can have a shape.
struct InvalidShape: Error {
    let reason: String
}
