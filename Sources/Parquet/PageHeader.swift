// The header of a page: what the page holds, and in which encoding.

/// What Cleave takes from a page's header.
///
/// Source of names and numbers: apache/parquet-format, `parquet.thrift`.
struct PageHeader {
    enum Kind {
        case dictionary
        /// Levels of definition are a part of what is compressed.
        case data
        /// Levels lie before what is compressed: bytes of repetition levels and of definition levels.
        case dataV2(repetition: Int, definition: Int, isCompressed: Bool)
        /// An index, or what later versions may have.
        case other
    }

    var kind: Kind
    var values: Int
    var encoding: Int
    /// Bytes behind the header.
    var storedBytes: Int
    /// Bytes of the same, decompressed.
    var bytes: Int

    /// - Returns: nil for what is no header.
    init?(_ value: ThriftValue) {
        guard let type = value[1]?.integer, let bytes = value[2]?.integer, let stored = value[3]?.integer, bytes >= 0, stored >= 0 else { return nil }
        (self.bytes, storedBytes) = (bytes, stored)
        let part: ThriftValue?
        switch type {
        case 0: (kind, part) = (.data, value[5])
        case 2: (kind, part) = (.dictionary, value[7])
        case 3:
            part = value[8]
            guard let definition = part?[5]?.integer, let repetition = part?[6]?.integer, definition >= 0, repetition >= 0,
                definition <= min(stored, bytes), repetition <= min(stored, bytes) - definition
            else { return nil }
            kind = .dataV2(repetition: repetition, definition: definition, isCompressed: part?[7]?.boolean ?? true)
        default:
            (kind, values, encoding) = (.other, 0, 0)
            return
        }
        let encodingField = type == 3 ? 4 : 2
        guard let values = part?[1]?.integer, let encoding = part?[encodingField]?.integer, values >= 0 else { return nil }
        (self.values, self.encoding) = (values, encoding)
    }
}
