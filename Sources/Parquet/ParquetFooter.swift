// What the footer of a Parquet file says: its columns, and where their chunks lie.

/// The columns of a table and its row groups.
///
/// Source of names and numbers: apache/parquet-format, `parquet.thrift`.
struct ParquetFooter {
    /// A column: a leaf of the schema.
    struct Column {
        /// With those of the groups that it lies in, by dots.
        var name: String
        /// The physical type, by its number.
        var type: Int
        /// Whether it is the schema's own and holds one value at most for each row.
        var isPlain: Bool
        /// Whether a row may be without a value.
        var isOptional: Bool

        /// Whether it holds texts, or other bytes.
        var holdsBytes: Bool { isPlain && type == 6 }
    }

    /// The values of a column in a row group.
    struct Chunk {
        var codec: Int
        /// Nulls among them.
        var values: Int
        /// Where its pages begin, the dictionary's included.
        var offset: Int
        /// Bytes of all its pages.
        var byteCount: Int
    }

    var columns: [Column] = []
    /// [row groups][columns]
    var groups: [[Chunk]] = []
    /// Bytes of the columns' names, which grow where groups with long names hold many columns.
    private var nameBytes = 0
    private static let mostNameBytes = 64 << 20

    /// - Returns: nil for what is no footer of a table.
    init?(_ value: ThriftValue) {
        guard let schema = value[2]?.list, let rowGroups = value[4]?.list, !schema.isEmpty else { return nil }
        var index = 1
        let children = schema[0][5]?.integer ?? 0
        guard children >= 0 else { return nil }
        for _ in 0..<children {
            guard let next = addColumns(of: schema, at: index, path: [], depth: 0) else { return nil }
            index = next
        }
        for group in rowGroups {
            guard let chunks = group[1]?.list?.map(Chunk.init), chunks.count == columns.count, chunks.allSatisfy({ $0 != nil }) else { return nil }
            groups.append(chunks.compactMap { $0 })
        }
    }

    /// Adds the leaves at and below an element of the schema, which is a tree in depth-first order.
    ///
    /// - Returns: the index of the element behind them; nil where the tree is none.
    private mutating func addColumns(of schema: [ThriftValue], at index: Int, path: [String], depth: Int) -> Int? {
        guard index < schema.count, depth < 64, let own = schema[index][4]?.text else { return nil }
        let (element, path) = (schema[index], path + [own])
        let repetition = element[3]?.integer ?? 0
        if let children = element[5]?.integer, children > 0 {
            var next = index + 1
            for _ in 0..<children {
                guard let end = addColumns(of: schema, at: next, path: path, depth: depth + 1) else { return nil }
                next = end
            }
            return next
        }
        let name = path.joined(separator: ".")
        nameBytes += name.utf8.count
        guard nameBytes <= Self.mostNameBytes else { return nil }
        columns.append(
            Column(name: name, type: element[1]?.integer ?? -1, isPlain: depth == 0 && repetition < 2, isOptional: repetition == 1))
        return index + 1
    }
}

extension ParquetFooter.Chunk {
    init?(_ value: ThriftValue) {
        guard let data = value[3], let codec = data[4]?.integer, let values = data[5]?.integer, let bytes = data[7]?.integer,
            let offset = data[9]?.integer, values >= 0, bytes >= 0, offset >= 0, !offset.addingReportingOverflow(bytes).overflow
        else { return nil }
        self.init(codec: codec, values: values, offset: offset, byteCount: bytes)
        // Some writers leave a 0 where there is no dictionary.
        if let dictionary = data[11]?.integer, dictionary > 0, dictionary < offset { self.offset = dictionary }
    }
}
