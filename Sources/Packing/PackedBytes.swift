// Numbers as formats store them.

public import Compression
internal import LinearAlgebra
public import Safetensors

/// The widest group that is read; far beyond use, and small enough that no product of it overflows.
let largestGroup = 1 << 24

/// A 32-bit word of unaligned bytes, little-endian as in the file.
func word(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> UInt32 { bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self) }

/// Widens numbers to fp32.
func readNumbers(_ bytes: UnsafeRawBufferPointer, _ type: ScaleType, count: Int, into destination: UnsafeMutablePointer<Float>) {
    precondition(bytes.count == type.elementType.bits / 8 * count, "\(bytes.count) bytes for \(count) numbers")
    guard count > 0, let source = bytes.baseAddress else { return }
    switch type {
    case .f32: UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
    case .bf16: Numbers.widen(bfloat16: source.assumingMemoryBound(to: UInt16.self), into: destination, count: count)
    case .f16: Numbers.widen(float16: source.assumingMemoryBound(to: UInt16.self), into: destination, count: count)
    }
}

/// Column -> group out of a tensor of int32.
func groupIndex(_ tensor: String, columns: Int, groups: Int, in tensors: some TensorSource) throws -> [Int32] {
    let found = try tensors.withBytes(of: tensor, bytes: nil) { bytes in (0..<columns).map { Int32(bitPattern: UInt32(littleEndian: word(bytes, $0))) } }
    if let column = found.firstIndex(where: { !(0..<Int32(clamping: groups)).contains($0) }) {
        throw PackingError("tensor \(tensor) puts column \(column) into group \(found[column]) of \(groups)")
    }
    return found
}

extension ScaleType {
    public var elementType: ElementType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        }
    }
}

extension EncodedTile {
    /// The first scale that another type cannot hold: its row in the tile, its group and its value.
    public func firstScale(notExactIn type: ScaleType) -> (row: Int, group: Int, value: Float)? {
        guard type != .f32 else { return nil }
        let scales = scales(), rounded = scales.copy(), halves = Matrix<UInt16>(uninitialized: 1, max(scales.count, 1))
        type.round(rounded, halves)
        guard let index = (0..<scales.count).first(where: { scales.base[$0] != rounded.base[$0] }) else { return nil }
        return withExtendedLifetime((scales, rounded, halves)) { (index / layout.groups, index % layout.groups, scales.base[index]) }
    }
}
