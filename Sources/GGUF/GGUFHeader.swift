// The head of a GGUF file: metadata and the places of all tensors, made before any of their data.

/// What stands before the data. Source: ggml, `docs/gguf.md`.
public struct GGUFHeader: Sendable {
    static let magic: [UInt8] = Array("GGUF".utf8), version: UInt32 = 3
    /// What the beginnings of data and of each tensor are multiples of, where `general.alignment` says nothing else.
    static let alignment = 32

    public let tensors: [GGUFTensor]
    /// Where each tensor's data begins, counted from the start of the file.
    public let offsets: [Int]
    /// All bytes before the data, padding included.
    public let bytes: [UInt8]
    public let fileByteCount: Int

    /// - Parameter metadata: without empty arrays, which readers refuse.
    public init(metadata: [GGUFEntry], tensors: [GGUFTensor]) {
        self.tensors = tensors
        var bytes = GGUFBytes()
        bytes.append(Self.magic)
        bytes.append(Self.version)
        bytes.append(UInt64(tensors.count))
        bytes.append(UInt64(metadata.count))
        for entry in metadata {
            bytes.append(entry.key)
            bytes.append(entry.value)
        }
        var offset = 0, relative: [Int] = []
        for tensor in tensors {
            bytes.append(tensor.name)
            bytes.append(UInt32(tensor.shape.count))
            for dimension in tensor.shape.reversed() { bytes.append(UInt64(dimension)) }
            bytes.append(tensor.type.rawValue)
            bytes.append(UInt64(offset))
            relative.append(offset)
            offset += Self.padded(tensor.byteCount)
        }
        bytes.append([UInt8](repeating: 0, count: Self.padded(bytes.all.count) - bytes.all.count))
        self.bytes = bytes.all
        offsets = relative.map { $0 + bytes.all.count }
        fileByteCount = bytes.all.count + offset
    }

    static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
}

/// Bytes of a file, little-endian.
private struct GGUFBytes {
    private(set) var all: [UInt8] = []

    mutating func append(_ bytes: [UInt8]) { all += bytes }

    mutating func append(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number.littleEndian) { all += $0 } }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        all += Array(text.utf8)
    }

    private mutating func append(_ type: GGUFValueType) { append(type.rawValue) }

    private mutating func array<Element>(of type: GGUFValueType, _ elements: [Element], _ body: (inout GGUFBytes, Element) -> Void) {
        append(GGUFValueType.array)
        append(type)
        append(UInt64(elements.count))
        for element in elements { body(&self, element) }
    }

    mutating func append(_ value: GGUFValue) {
        func number(_ type: GGUFValueType, _ number: some FixedWidthInteger, to bytes: inout GGUFBytes) {
            bytes.append(type)
            bytes.append(number)
        }
        switch value {
        case .uint8(let value): number(.uint8, value, to: &self)
        case .int8(let value): number(.int8, value, to: &self)
        case .uint16(let value): number(.uint16, value, to: &self)
        case .int16(let value): number(.int16, value, to: &self)
        case .uint32(let value): number(.uint32, value, to: &self)
        case .int32(let value): number(.int32, value, to: &self)
        case .float32(let value): number(.float32, value.bitPattern, to: &self)
        case .bool(let value): number(.bool, UInt8(value ? 1 : 0), to: &self)
        case .uint64(let value): number(.uint64, value, to: &self)
        case .int64(let value): number(.int64, value, to: &self)
        case .float64(let value): number(.float64, value.bitPattern, to: &self)
        case .string(let value):
            append(GGUFValueType.string)
            append(value)
        case .strings(let values): array(of: .string, values) { $0.append($1) }
        case .int32s(let values): array(of: .int32, values) { $0.append($1) }
        case .float32s(let values): array(of: .float32, values) { $0.append($1.bitPattern) }
        case .otherArray: preconditionFailure("an array that was passed over when it was read")
        }
    }
}
