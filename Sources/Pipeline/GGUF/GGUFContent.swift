// What the GGUF files of a result say: the model, and the types of their tensors.

internal import GGUF
internal import Safetensors

struct GGUFContent: Sendable {
    let model: GGUFModel
    /// The tensors of all files by their names.
    let tensors: [String: GGUFTensor]
    /// Of most weights.
    let type: GGMLType

    /// `model.gguf`, or as llama.cpp calls the parts of several.
    static func fileName(_ index: Int, of count: Int) -> String {
        func number(_ value: Int) -> String { String(repeating: "0", count: max(0, 5 - String(value).count)) + String(value) }
        return count == 1 ? "model.gguf" : "model-\(number(index + 1))-of-\(number(count)).gguf"
    }

    /// The head of a file. The first one has all metadata, and each of several says its place.
    ///
    /// - Parameter source: the directory of the model.
    func header(of name: String, among files: [CheckpointContent.File], source: String) throws -> GGUFHeader {
        guard let index = files.firstIndex(where: { $0.name == name }) else { throw PipelineError(.internalError, "\(name) is none of the result's files") }
        var metadata: [GGUFEntry] = []
        if index == 0 {
            let title = source.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init) ?? "model"
            metadata += model.metadata(title: title, type: type) + (try model.tokenizer(in: source))
        }
        if files.count > 1 {
            let tensorCount = files.reduce(0) { $0 + $1.tensors.count }
            metadata += [
                GGUFEntry("split.no", .uint16(UInt16(clamping: index))), GGUFEntry("split.count", .uint16(UInt16(clamping: files.count))),
                GGUFEntry("split.tensors.count", .int32(Int32(clamping: tensorCount))),
            ]
        }
        let own = try files[index].tensors.map { tensor in
            guard let own = tensors[tensor.name] else { throw PipelineError(.internalError, "tensor \(tensor.name) has no type") }
            return own
        }
        return GGUFHeader(metadata: metadata, tensors: own)
    }
}
