// The values of a column in one row group, a page at a time.

internal import Decompression
internal import Safetensors

/// Walks over the pages of a chunk. It holds one page, and the dictionary.
struct ChunkValues {
    private let (chunk, isOptional, name): (ParquetFooter.Chunk, Bool, String)
    private let file: DataFile
    private let codec: BlockCodec
    private var offset: Int
    private var dictionary: ByteArrays?
    private var read = 0

    /// Of a page: far more than writers put there, and few enough to be held.
    private static let mostValues = 1 << 26

    /// Values of the page, nulls among them.
    private(set) var count = 0
    /// Of each value: its place among those that are there; below 0: it is none.
    private var places: [Int32]?
    /// Of each value that is there: its place in the dictionary; nil: the page holds its own.
    private var indices: [UInt32]?
    private var own = ByteArrays.none

    /// - Parameter name: of the column, for messages.
    init(_ chunk: ParquetFooter.Chunk, isOptional: Bool, name: String, file: DataFile) throws(SafetensorsError) {
        (self.chunk, self.isOptional, self.name) = (chunk, isOptional, name)
        self.file = file
        offset = chunk.offset
        switch chunk.codec {
        case 0: codec = .none
        case 1: codec = .snappy
        case 2: codec = .gzip
        case 6: codec = .zstd
        default:
            let names = [3: "lzo", 4: "brotli", 5: "lz4", 7: "lz4_raw"]
            throw TableDamage.error(
                file.path,
                "Column \(name) is compressed by \(names[chunk.codec] ?? "codec \(chunk.codec)"), and snappy, gzip, zstd and none are read. "
                    + Self.rewriting)
        }
        guard chunk.offset + chunk.byteCount <= file.byteCount else {
            throw TableDamage.error(
                file.path, "Column \(name) is to end at byte \(chunk.offset + chunk.byteCount), and the file has \(file.byteCount). Fetch it again.")
        }
    }

    /// The bytes of a value; nil for a null.
    func value(at index: Int) -> [UInt8]? {
        let place = places.map { Int($0[index]) } ?? index
        guard place >= 0 else { return nil }
        guard let indices, let dictionary else { return own[place] }
        return dictionary[Int(indices[place])]
    }

    /// Goes on to the next page that holds values; false behind the last.
    mutating func nextPage() throws(SafetensorsError) -> Bool {
        while read < chunk.values {
            let (header, length) = try self.header()
            guard header.bytes <= TableDamage.largest, header.storedBytes <= min(TableDamage.largest, chunk.offset + chunk.byteCount - offset - length) else {
                throw damage("it is to have \(header.storedBytes) bytes, \(header.bytes) decompressed")
            }
            let stored = offset + length..<offset + length + header.storedBytes
            defer { offset = stored.upperBound }
            switch header.kind {
            case .other: continue
            case .dictionary:
                guard [0, 2].contains(header.encoding), let texts = ByteArrays(try content(stored, header), from: 0, count: header.values) else {
                    throw damage("its dictionary ends too early")
                }
                dictionary = texts
            case .data, .dataV2:
                guard header.values <= min(chunk.values - read, Self.mostValues) else {
                    throw damage("it is to have \(header.values) values, and the column has \(chunk.values - read) left")
                }
                try take(content(stored, header), header)
                read += header.values
                return true
            }
        }
        return false
    }

    // MARK: - A page

    /// The header at the current place, and its bytes.
    private func header() throws(SafetensorsError) -> (header: PageHeader, length: Int) {
        let end = chunk.offset + chunk.byteCount
        // Headers hold the least and the greatest value, which may be long.
        var window = 4 << 10
        while offset < end {
            let count = min(window, end - offset)
            var reader = ThriftReader(try file.bytes(at: offset, count: count))
            do throws(ThriftReader.Failure) {
                let value = try reader.structure()
                guard let header = PageHeader(value) else { break }
                return (header, reader.offset)
            } catch {
                guard case .endsTooEarly = error, count == window, window < 64 << 20 else { break }
                window *= 8
            }
        }
        throw damage("its header is none")
    }

    /// The bytes of a page, levels included, decompressed.
    private func content(_ stored: Range<Int>, _ header: PageHeader) throws(SafetensorsError) -> [UInt8] {
        let bytes = try file.bytes(at: stored.lowerBound, count: stored.count)
        // What is not compressed at the page's start.
        var (levels, codec) = (0, codec)
        if case .dataV2(let repetition, let definition, let isCompressed) = header.kind {
            levels = repetition + definition
            if !isCompressed { codec = .none }
        }
        let rest = bytes.withUnsafeBytes { codec.decompress(UnsafeRawBufferPointer(rebasing: $0[levels...]), count: header.bytes - levels) }
        guard let rest else { throw damage("it cannot be decompressed") }
        return levels == 0 ? rest : bytes[..<levels] + rest
    }

    private mutating func take(_ bytes: [UInt8], _ header: PageHeader) throws(SafetensorsError) {
        var start = 0, levels: [UInt32]?
        switch header.kind {
        case .dataV2(let repetition, let definition, _):
            start = repetition + definition
            if isOptional { levels = hybridIntegers(bytes[repetition..<start], width: 1, count: header.values) }
        default:
            guard isOptional else { break }
            guard bytes.count >= 4 else { throw damage("it ends too early") }
            let length = (0..<4).reduce(0) { $0 | Int(bytes[$1]) << ($1 * 8) }
            guard length <= bytes.count - 4 else { throw damage("it ends too early") }
            start = 4 + length
            levels = hybridIntegers(bytes[4..<start], width: 1, count: header.values)
        }
        guard !isOptional || levels != nil else { throw damage("its levels end too early") }
        var present = 0
        places = levels.map { levels in
            levels.map { level in
                guard level == 1 else { return -1 }
                present += 1
                return Int32(present - 1)
            }
        }
        if levels == nil { present = header.values }
        (count, indices) = (header.values, nil)
        switch header.encoding {
        case 0:
            guard let texts = ByteArrays(bytes, from: start, count: present) else { throw damage("its texts end too early") }
            own = texts
        case 2, 8: indices = try self.indices(bytes[start...], count: present)
        default:
            let names = [5: "DELTA_BINARY_PACKED", 6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY", 9: "BYTE_STREAM_SPLIT"]
            throw TableDamage.error(
                file.path,
                "Column \(name) is written in the encoding \(names[header.encoding] ?? "\(header.encoding)"), and PLAIN and dictionaries are read. "
                    + Self.rewriting)
        }
    }

    /// Places in the dictionary: their width, and then themselves.
    private func indices(_ bytes: ArraySlice<UInt8>, count: Int) throws(SafetensorsError) -> [UInt32] {
        guard count > 0 else { return [] }
        guard let dictionary, let width = bytes.first, let found = hybridIntegers(bytes.dropFirst(), width: Int(width), count: count),
            found.allSatisfy({ $0 < dictionary.count })
        else { throw damage("its places in the dictionary are none") }
        return found
    }

    // MARK: - Messages

    private func damage(_ reason: String) -> SafetensorsError {
        TableDamage.error(file.path, "The page of column \(name) at byte \(offset) is damaged: \(reason). Fetch the file again.")
    }

    /// What to do about tables that are written in another way.
    private static var rewriting: String {
        "Write it anew: `python -c 'import pyarrow.parquet as p, sys; p.write_table(p.read_table(sys.argv[1]), sys.argv[2])' FILE NEW`."
    }
}
