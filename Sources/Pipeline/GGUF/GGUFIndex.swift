// The tensors of a directory of GGUF files, by the names that transformers has for them.

internal import Compression
internal import Foundation
internal import GGUF
internal import Safetensors

extension CheckpointIndex {
    /// What tells a file's tensors of blocks from others: their type, in the file's metadata.
    private static let typeKey = "type of "

    /// The files of a directory whose weights are GGUF alone; nil of others.
    ///
    /// Blocks are described by their bytes: U8 [rows, bytes of a row]. Tensors that transformers' models do not have are left out.
    /// - Throws: `SafetensorsError`, or `PipelineError` for parts that are not all there, and types that are not read
    init?(gguf directory: String) throws {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
        let found = names.filter { $0.hasSuffix(".gguf") }
        guard !found.isEmpty, !names.contains(ShardIndex.singleFileName), !names.contains(ShardIndex.fileName) else { return nil }
        var files: [File] = []
        var tensors: [String: Tensor] = [:]
        for (place, name) in found.enumerated() {
            let path = directory + "/" + name, file = try GGUFFile(path: path)
            let parts: Int = if case .uint16(let count)? = file["split.count"] { Int(count) } else { 1 }
            guard found == (0..<parts).map({ parts == 1 ? name : GGUFContent.fileName($0, of: parts) }) else {
                throw PipelineError(
                    .badInput,
                    "\(path) is one of \(parts) parts, and the directory has \(found.joined(separator: ", ")): one model's files are needed, all of them")
            }
            var types: [String: String] = [:]
            for entry in file.tensors {
                guard let own = GGUFNames.transformersName(of: entry.tensor.name) else { continue }
                let description: TensorDescription
                switch entry.tensor.type {
                case .f32: description = try TensorDescription(name: own, type: .f32, shape: entry.tensor.shape)
                case .f16: description = try TensorDescription(name: own, type: .f16, shape: entry.tensor.shape)
                case .bf16: description = try TensorDescription(name: own, type: .bf16, shape: entry.tensor.shape)
                case let type:
                    description = try TensorDescription(name: own, type: .u8, shape: entry.tensor.shape.dropLast() + [entry.tensor.rowBytes])
                    types[Self.typeKey + own] = type.name.lowercased()
                }
                guard tensors.updateValue(Tensor(file: place, description: description, bytes: entry.bytes), forKey: own) == nil else {
                    throw PipelineError(.badInput, "\(directory): tensor \(entry.tensor.name) is in two files")
                }
            }
            files.append(File(name: name, byteCount: file.byteCount, metadata: types, stamp: try FileStamp(path: path)))
        }
        self.init(directory: directory, files: files, tensors: tensors)
    }

    /// The type of a tensor's blocks; nil of other tensors.
    func blocks(_ tensor: String) -> NumberType? {
        tensors[tensor].flatMap { files[$0.file].metadata[Self.typeKey + tensor] }.flatMap(NumberType.init(rawValue:))
    }

    var isGGUF: Bool { files.first?.name.hasSuffix(".gguf") == true }
}
