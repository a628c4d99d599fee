// The grammar of a GGUF file's head.

/// Takes the parts of a head in their order, each checked against the bytes that are there.
package struct GGUFReader {
    private let bytes: [UInt8]
    private let fileByteCount: Int
    private var place = 0

    /// - Parameter bytes: the first of the file.
    package init(_ bytes: [UInt8], byteCount: Int) {
        self.bytes = bytes
        fileByteCount = byteCount
    }

    package mutating func read() throws(GGUFFault) -> (metadata: [GGUFEntry], tensors: [PlacedTensor], unknown: [UnknownTensor]) {
        guard bytes.starts(with: GGUFHeader.magic) else { throw .broken("The file does not begin with \"GGUF\": it is of another format.") }
        place = 4
        let version: UInt32 = try number()
        guard version == GGUFHeader.version else {
            throw .broken("The file says version \(version) of GGUF; version \(GGUFHeader.version) in little-endian order is read.")
        }
        // The least bytes that each takes bound how many there can be.
        let tensorCount = try count(least: 24), entryCount = try count(least: 13)
        var metadata: [GGUFEntry] = []
        var keys: Set<String> = []
        for _ in 0..<entryCount {
            let key = try string()
            guard keys.insert(key).inserted else { throw .broken("The key \"\(key)\" is there twice.") }
            metadata.append(GGUFEntry(key, try value()))
        }
        var found: [(tensor: GGUFTensor, offset: Int)] = []
        var unknown: [UnknownTensor] = []
        var names: Set<String> = []
        for _ in 0..<tensorCount {
            let (name, shape, type, offset) = try tensor()
            guard names.insert(name).inserted else { throw .broken("The tensor \"\(name)\" is there twice.") }
            guard let known = GGMLType(rawValue: type) else {
                var count = 1, isTooLarge = false
                for factor in shape where !isTooLarge { (count, isTooLarge) = count.multipliedReportingOverflow(by: factor) }
                // No type has less than a bit for an element.
                guard !isTooLarge, count / 8 <= fileByteCount else { throw .broken("Tensor \"\(name)\" of shape \(shape) is larger than the file: damaged?") }
                unknown.append(UnknownTensor(name: name, type: type, shape: shape))
                continue
            }
            do {
                found.append((try GGUFTensor(name: name, type: known, shape: shape), offset))
            } catch {
                throw .broken("\(error)")
            }
        }
        let alignment: Int
        switch metadata.first(where: { $0.key == "general.alignment" })?.value {
        case nil: alignment = GGUFHeader.alignment
        case .uint32(let value)? where value > 0 && value % 8 == 0: alignment = Int(value)
        case _?: throw .broken("`general.alignment` is no multiple of 8 of type uint32.")
        }
        let start = (place + alignment - 1) / alignment * alignment
        var tensors: [PlacedTensor] = []
        for (tensor, offset) in found {
            let (first, overflow) = start.addingReportingOverflow(offset)
            guard !overflow, offset % alignment == 0, first <= fileByteCount, tensor.byteCount <= fileByteCount - first else {
                throw .broken(
                    "Tensor \"\(tensor.name)\" of \(tensor.byteCount) bytes at \(offset) of the data lies beyond the file's \(fileByteCount) bytes: cut off?")
            }
            tensors.append(PlacedTensor(tensor: tensor, bytes: first..<first + tensor.byteCount))
        }
        return (metadata, tensors, unknown)
    }

    private mutating func tensor() throws(GGUFFault) -> (name: String, shape: [Int], type: UInt32, offset: Int) {
        let name = try string(), dimensions: UInt32 = try number()
        guard (1...4).contains(dimensions) else { throw .broken("Tensor \"\(name)\" has \(dimensions) dimensions; there may be 1 to 4.") }
        var shape: [Int] = []
        for _ in 0..<dimensions { shape.append(try size()) }
        let type: UInt32 = try number(), offset = try size()
        return (name, shape.reversed(), type, offset)
    }

    private mutating func value() throws(GGUFFault) -> GGUFValue {
        switch try type() {
        case .uint8: .uint8(try number())
        case .int8: .int8(try number())
        case .uint16: .uint16(try number())
        case .int16: .int16(try number())
        case .uint32: .uint32(try number())
        case .int32: .int32(try number())
        case .float32: .float32(Float(bitPattern: try number()))
        case .bool: .bool(try number() as UInt8 != 0)
        case .uint64: .uint64(try number())
        case .int64: .int64(try number())
        case .float64: .float64(Double(bitPattern: try number()))
        case .string: .string(try string())
        case .array: try array()
        }
    }

    private mutating func array() throws(GGUFFault) -> GGUFValue {
        let type = try type()
        switch type {
        case .string:
            var strings: [String] = []
            for _ in 0..<(try count(least: 8)) { strings.append(try string()) }
            return .strings(strings)
        case .array: throw .broken("An array of arrays, which no reader takes.")
        case .int32:
            var numbers: [Int32] = []
            for _ in 0..<(try count(least: 4)) { numbers.append(try number()) }
            return .int32s(numbers)
        case .float32:
            var numbers: [Float] = []
            for _ in 0..<(try count(least: 4)) { numbers.append(Float(bitPattern: try number())) }
            return .float32s(numbers)
        default:
            let width = type.byteCount ?? 1, count = try count(least: width)
            try skip(count * width)
            return .otherArray(count: count)
        }
    }

    private mutating func type() throws(GGUFFault) -> GGUFValueType {
        let number: UInt32 = try number()
        guard let type = GGUFValueType(rawValue: number) else { throw .broken("A value of type \(number), which is none of GGUF.") }
        return type
    }

    private mutating func string() throws(GGUFFault) -> String {
        let count = try count(least: 1), start = place
        try skip(count)
        guard let text = String(validating: bytes[start..<place], as: UTF8.self) else { throw .broken("A string at byte \(start) is not valid UTF-8.") }
        return text
    }

    /// A number of things that take so many bytes each at least.
    private mutating func count(least: Int) throws(GGUFFault) -> Int {
        let count = try size()
        guard count <= (fileByteCount - place) / least else { throw .broken("The head announces \(count) things, for which the file has no room: damaged?") }
        return count
    }

    private mutating func size() throws(GGUFFault) -> Int {
        let number: UInt64 = try number()
        guard let size = Int(exactly: number) else { throw .broken("A size of \(number), which no file has.") }
        return size
    }

    private mutating func number<Number: FixedWidthInteger>() throws(GGUFFault) -> Number {
        let start = place
        try skip(MemoryLayout<Number>.size)
        return bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: Number.self)) }
    }

    private mutating func skip(_ count: Int) throws(GGUFFault) {
        guard count <= bytes.count - place else { throw .tooShort }
        place += count
    }
}
