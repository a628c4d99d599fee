// Values of Thrift's compact protocol, in which Parquet writes its footer and the headers of pages.

/// A value, without the names of its fields.
///
/// Source: Thrift, `doc/specs/thrift-compact-protocol.md`.
indirect enum ThriftValue {
    case boolean(Bool)
    case integer(Int64)
    case number
    case bytes([UInt8])
    case list([ThriftValue])
    /// Fields by their ids.
    case structure([Int: ThriftValue])
    case map

    /// A field of a structure.
    subscript(field: Int) -> ThriftValue? { if case .structure(let fields) = self { fields[field] } else { nil } }

    var integer: Int? { if case .integer(let value) = self { Int(value) } else { nil } }
    var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
    var list: [ThriftValue]? { if case .list(let values) = self { values } else { nil } }
    var text: String? { if case .bytes(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil } }
}
