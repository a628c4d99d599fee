// Reading Thrift's compact protocol.

/// Reads values from bytes, which may be damaged.
struct ThriftReader {
    enum Failure: Error {
        /// The bytes end before the value does.
        case endsTooEarly
        /// What is there is no value of the protocol.
        case malformed
    }

    private let bytes: [UInt8]
    private(set) var offset = 0

    /// Deeper values than Parquet's are none of its own.
    private static let deepest = 24

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The structure that begins here.
    mutating func structure() throws(Failure) -> ThriftValue { try structure(depth: 0) }

    private mutating func structure(depth: Int) throws(Failure) -> ThriftValue {
        guard depth < Self.deepest else { throw .malformed }
        var fields: [Int: ThriftValue] = [:], id = 0
        while true {
            let head = try byte()
            let type = head & 15
            guard type != 0 else { return .structure(fields) }
            let step = Int(head >> 4)
            // Ids have 16 bits.
            guard let next = Int16(exactly: try step == 0 ? zigzag() : Int64(id + step)) else { throw .malformed }
            id = Int(next)
            // A boolean's value is its type.
            fields[id] = type == 1 || type == 2 ? .boolean(type == 1) : try value(type, depth: depth + 1)
        }
    }

    private mutating func value(_ type: UInt8, depth: Int) throws(Failure) -> ThriftValue {
        switch type {
        case 1, 2: return .boolean(try byte() == 1)
        case 3: return .integer(Int64(Int8(bitPattern: try byte())))
        case 4, 5, 6: return .integer(try zigzag())
        case 7:
            _ = try take(8)
            return .number
        case 8: return .bytes(Array(bytes[try take(try count())]))
        case 9, 10: return try list(depth: depth)
        case 11: return try map(depth: depth)
        case 12: return try structure(depth: depth)
        default: throw .malformed
        }
    }

    private mutating func list(depth: Int) throws(Failure) -> ThriftValue {
        guard depth < Self.deepest else { throw .malformed }
        let head = try byte()
        let size = head >> 4 == 15 ? try count() : Int(head >> 4)
        // An element has a byte at least.
        guard size <= bytes.count - offset else { throw .endsTooEarly }
        var values: [ThriftValue] = []
        // A list may lie in a list that claims as much.
        values.reserveCapacity(min(size, 1 << 10))
        for _ in 0..<size { values.append(try value(head & 15, depth: depth + 1)) }
        return .list(values)
    }

    /// Maps, which Parquet has none of, are passed over.
    private mutating func map(depth: Int) throws(Failure) -> ThriftValue {
        let size = try count()
        guard size > 0 else { return .map }
        guard depth < Self.deepest, size <= bytes.count - offset else { throw .malformed }
        let types = try byte()
        for _ in 0..<size {
            _ = try value(types >> 4, depth: depth + 1)
            _ = try value(types & 15, depth: depth + 1)
        }
        return .map
    }

    // MARK: - Bytes

    private mutating func byte() throws(Failure) -> UInt8 {
        guard offset < bytes.count else { throw .endsTooEarly }
        offset += 1
        return bytes[offset - 1]
    }

    private mutating func take(_ count: Int) throws(Failure) -> Range<Int> {
        guard count <= bytes.count - offset else { throw .endsTooEarly }
        offset += count
        return offset - count..<offset
    }

    private mutating func zigzag() throws(Failure) -> Int64 {
        let value = try variable()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    private mutating func count() throws(Failure) -> Int {
        guard let count = Int(exactly: try variable()) else { throw .malformed }
        return count
    }

    /// Seven bits a byte, the lowest first.
    private mutating func variable() throws(Failure) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 70, by: 7) {
            let next = try byte()
            guard shift < 63 || next < 2 else { throw .malformed }
            value |= UInt64(next & 127) << UInt64(shift)
            if next < 128 { return value }
        }
        throw .malformed
    }
}
