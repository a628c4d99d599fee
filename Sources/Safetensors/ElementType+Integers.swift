// Integers of a file as numbers.

extension ElementType {
    /// The little-endian integers in some bytes, of type `.i32` or `.i64`.
    package func integers(_ bytes: UnsafeRawBufferPointer) -> [Int64] {
        switch self {
        case .i32: stride(from: 0, to: bytes.count, by: 4).map { Int64(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int32.self))) }
        case .i64: stride(from: 0, to: bytes.count, by: 8).map { Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int64.self)) }
        default: preconditionFailure("integers of type \(rawValue)")
        }
    }
}
