// How a checkpoint's index travels between processes, and the checks it passes on arrival.

import Foundation

extension CheckpointIndex: Codable {
    private enum CodingKeys: String, CodingKey {
        case directory, files, tensors, remarks
    }

    /// One tensor; its last byte follows from type and shape.
    private struct Record: Codable {
        let name: String
        let file: Int
        let type: ElementType
        let shape: [Int]
        let start: Int
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(directory, forKey: .directory)
        try container.encode(files, forKey: .files)
        if !remarks.isEmpty { try container.encode(remarks, forKey: .remarks) }
        var records = container.nestedUnkeyedContainer(forKey: .tensors)
        // In order of place, so that equal indices give equal bytes.
        let sorted = tensors.values.sorted {
            ($0.file, $0.bytes.lowerBound, $0.description.name) < ($1.file, $1.bytes.lowerBound, $1.description.name)
        }
        for tensor in sorted {
            let description = tensor.description
            try records.encode(
                Record(
                    name: description.name, file: tensor.file, type: description.type, shape: description.shape,
                    start: tensor.bytes.lowerBound))
        }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let directory = try container.decode(String.self, forKey: .directory)
        let files = try container.decode([File].self, forKey: .files)
        let records = try container.decode([Record].self, forKey: .tensors)
        var tensors: [String: Tensor] = [:]
        tensors.reserveCapacity(records.count)
        for record in records {
            tensors[record.name] = try Self.tensor(record, files: files, directory: directory)
        }
        self.init(
            directory: directory, files: files, tensors: tensors, remarks: try container.decodeIfPresent([String].self, forKey: .remarks) ?? [])
    }

    /// The index as bytes for a message; `init(encoded:)` reverses it.
    public func encoded() throws(SafetensorsError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return try Array(encoder.encode(self))
        } catch {
            throw SafetensorsError(.invalidRequest, path: directory, "The index cannot be encoded: \(error).")
        }
    }

    /// - Throws: `.malformed` if the bytes are not an index, or place a tensor outside its file.
    public init(encoded: [UInt8]) throws(SafetensorsError) {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(encoded))
        } catch let error as SafetensorsError {
            throw error
        } catch {
            throw SafetensorsError(.malformed, path: nil, "\(encoded.count) bytes are no checkpoint index: \(error).")
        }
    }

    private static func tensor(_ record: Record, files: [File], directory: String) throws(SafetensorsError) -> Tensor {
        let description = try TensorDescription(name: record.name, type: record.type, shape: record.shape)
        guard files.indices.contains(record.file), record.start >= 0, files[record.file].byteCount >= 0,
            record.start <= files[record.file].byteCount - description.byteCount
        else {
            throw SafetensorsError(
                .malformed, path: directory, "The index places tensor \"\(record.name)\" outside its file.")
        }
        return Tensor(
            file: record.file, description: description, bytes: record.start..<record.start + description.byteCount)
    }
}
