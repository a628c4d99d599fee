// The tensors of a directory of GGUF files, by the names that transformers has for them.

internal import Compression
internal import Failures
internal import Foundation
internal import GGUF
package import Safetensors

extension CheckpointIndex {
    /// What tells a file's tensors of blocks from others: their type, in the file's metadata.
    private static let typeKey = "type of "

    /// The files of a directory whose weights are GGUF alone; nil of others.
    ///
    /// Blocks are described by their bytes: U8 [rows, bytes of a row]. Tensors that transformers' models do not have are left out, and one of all experts of a
    /// block is as many as there are experts.
    ///
    /// - Parameter modelType: of config.json.
    /// - Throws: `SafetensorsError`, or `PipelineError` for parts that are not all there, and families and types that are not read.
    init?(gguf directory: String, modelType: String) throws {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
        let found = names.filter { $0.hasSuffix(".gguf") }
        guard !found.isEmpty, !names.contains(ShardIndex.singleFileName), !names.contains(ShardIndex.fileName) else { return nil }
        let known = try GGUFFamily.of(modelType).names
        var files: [File] = []
        var tensors: [String: Tensor] = [:]
        for (place, name) in found.enumerated() {
            let path = directory + "/" + name, file = try GGUFFile(path: path)
            let parts: Int = if case .uint16(let count)? = file["split.count"] { Int(count) } else { 1 }
            guard found == (0..<parts).map({ parts == 1 ? name : GGUFPart.fileName($0, of: parts) }) else {
                throw PipelineError(
                    .badInput,
                    "\(path) is one of \(parts) parts, and the directory has \(found.joined(separator: ", ")): one model's files are needed, all of them")
            }
            var types: [String: String] = [:]
            let unknown = file.unknown.map { ($0.name, "ggml's type \($0.type)") }
            let unread = file.tensors.map(\.tensor).filter { !$0.type.isRead }.map { ($0.name, $0.type.name) }
            if let (name, type) = (unknown + unread).first(where: { known.isKnown($0.0) }) {
                throw PipelineError(
                    .badInput, "\(path): tensor \(name) is of \(type), which is not read here (`cleave inspect \(path) --tensors` lists the types)")
            }
            for entry in file.tensors where entry.tensor.type.isRead {
                for part in Self.parts(of: entry, known) {
                    let stored = entry.tensor.type.elementType
                    if stored == .u8 { types[Self.typeKey + part.name] = entry.tensor.type.name.lowercased() }
                    let shape = stored == .u8 ? part.shape.dropLast() + [entry.tensor.rowBytes] : part.shape
                    let description = try TensorDescription(name: part.name, type: stored, shape: Array(shape))
                    guard tensors.updateValue(Tensor(file: place, description: description, bytes: part.bytes), forKey: part.name) == nil else {
                        throw PipelineError(.badInput, "\(directory): tensor \(entry.tensor.name) is in two files")
                    }
                }
            }
            files.append(File(name: name, byteCount: file.byteCount, metadata: types, stamp: try FileStamp(path: path)))
        }
        self.init(directory: directory, files: files, tensors: tensors)
    }

    /// The tensors of transformers' model that a tensor of a file holds.
    private static func parts(of entry: PlacedTensor, _ names: GGUFNames) -> [(name: String, shape: [Int], bytes: Range<Int>)] {
        let (tensor, bytes) = (entry.tensor, entry.bytes)
        if let name = names.transformersName(of: tensor.name) {
            return [(name, names.isSingleRow(name) && tensor.shape.count == 1 ? [1] + tensor.shape : tensor.shape, bytes)]
        }
        if let (name, half) = names.transformersName(ofHalf: tensor.name) { return [(LatentHalfRows.name(half, of: name), tensor.shape, bytes)] }
        guard let name = names.transformersName(ofStack: tensor.name), tensor.shape.count == 3, tensor.shape[0] > 0 else { return [] }
        let size = bytes.count / tensor.shape[0]
        return (0..<tensor.shape[0]).map { (name($0), Array(tensor.shape[1...]), bytes.lowerBound + $0 * size..<bytes.lowerBound + ($0 + 1) * size) }
    }

    /// The type of a tensor's blocks; nil of other tensors.
    func blocks(_ tensor: String) -> NumberType? {
        tensors[tensor].flatMap { files[$0.file].metadata[Self.typeKey + tensor] }.flatMap(NumberType.init(rawValue:))
    }

    package var isGGUF: Bool { files.first?.name.hasSuffix(".gguf") == true }
}
