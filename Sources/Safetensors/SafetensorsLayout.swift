// Where each tensor of a file to be written goes: order, offsets and header bytes, the same as the reference writer's.

internal import JSON

/// The bytes of a safetensors file, all but the data.
///
/// Tensors lie in the reference writer's order: element types from the last case of `ElementType` to the first (largest
/// alignment first), then names by their UTF-8 bytes. The header is padded with spaces to a multiple of 8, so that
/// every tensor is aligned to its elements. `__metadata__` is sorted by key; equal input gives equal bytes.
public struct SafetensorsLayout: Sendable {
    /// In the order in which the data must be written.
    public let entries: [TensorEntry]
    /// The length and the header, up to the first tensor's data.
    public let headerBytes: [UInt8]
    public let fileByteCount: Int

    /// - Throws: `.invalidRequest` for equal or reserved names, or a header over 100 MB.
    public init(tensors: [TensorDescription], metadata: [String: String] = [:]) throws(SafetensorsError) {
        let sorted = Self.order(tensors)
        try Self.checkNames(tensors)
        var json = "{"
        if !metadata.isEmpty { json += Self.metadataMember(metadata) }
        var ranges: [Range<Int>] = []
        var end = 0
        for tensor in sorted {
            let (next, overflow) = end.addingReportingOverflow(tensor.byteCount)
            guard !overflow else {
                throw SafetensorsError(.invalidRequest, path: nil, "The tensors together exceed 64-bit sizes.")
            }
            if json.utf8.count > 1 { json += "," }
            json += Self.member(tensor, end..<next)
            ranges.append(end..<next)
            end = next
        }
        json += "}"
        json += String(repeating: " ", count: (8 - json.utf8.count % 8) % 8)
        guard json.utf8.count <= SafetensorsHeader.maximumByteCount else {
            throw SafetensorsError(
                .invalidRequest, path: nil,
                """
                The header would take \(json.utf8.count) bytes, and readers accept \
                \(SafetensorsHeader.maximumByteCount). Split the tensors over more files.
                """)
        }
        let length = withUnsafeBytes(of: UInt64(json.utf8.count).littleEndian) { Array($0) }
        let headerBytes = length + Array(json.utf8)
        let (total, overflow) = end.addingReportingOverflow(headerBytes.count)
        guard !overflow else {
            throw SafetensorsError(.invalidRequest, path: nil, "The tensors together exceed 64-bit sizes.")
        }
        self.entries = zip(sorted, ranges).map { tensor, range in
            TensorEntry(
                description: tensor,
                bytes: range.lowerBound + headerBytes.count..<range.upperBound + headerBytes.count)
        }
        self.headerBytes = headerBytes
        self.fileByteCount = total
    }

    /// The tensors in the order of their data in the file.
    public static func order(_ tensors: [TensorDescription]) -> [TensorDescription] {
        let types = ElementType.allCases
        let rank = Dictionary(uniqueKeysWithValues: zip(types, types.indices))
        return tensors.sorted { left, right in
            if left.type != right.type { return rank[left.type, default: 0] > rank[right.type, default: 0] }
            return left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
        }
    }

    private static func checkNames(_ tensors: [TensorDescription]) throws(SafetensorsError) {
        var names: Set<String> = []
        for tensor in tensors {
            guard tensor.name != SafetensorsHeader.metadataKey else {
                throw SafetensorsError(.invalidRequest, path: nil, "A tensor cannot be named \"\(tensor.name)\".")
            }
            guard names.insert(tensor.name).inserted else {
                throw SafetensorsError(.invalidRequest, path: nil, "Tensor \"\(tensor.name)\" is given twice.")
            }
        }
    }

    private static func metadataMember(_ metadata: [String: String]) -> String {
        let members = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            .map { "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))" }
        return "\"\(SafetensorsHeader.metadataKey)\":{\(members.joined(separator: ","))}"
    }

    private static func member(_ tensor: TensorDescription, _ offsets: Range<Int>) -> String {
        let shape = tensor.shape.map(String.init).joined(separator: ",")
        return """
            \(JSONText.quoted(tensor.name)):{"dtype":"\(tensor.type.rawValue)","shape":[\(shape)],\
            "data_offsets":[\(offsets.lowerBound),\(offsets.upperBound)]}
            """
    }
}
