// What the GGUF files of a result say: the model, and the types of their tensors.

internal import Failures
internal import GGUF
internal import JSON
package import Models
internal import Safetensors

package struct GGUFContent: Sendable {
    package let model: GGUFModel
    /// The tensors of all files by their names.
    let tensors: [String: GGUFTensor]
    /// Of most weights.
    let type: GGMLType

    /// The head of a file. The first one has all metadata, and each of several says its place.
    ///
    /// - Parameters:
    ///   - index: its place among `count` files.
    ///   - names: of its tensors.
    ///   - source: the directory of the model.
    func header(of index: Int, among count: Int, names: [String], source: String) throws -> GGUFHeader {
        var metadata: [GGUFEntry] = []
        if index == 0 {
            let configuration = try JSONValue(configuration: InputFile.json(of: source + "/config.json"), of: source)
            metadata += model.metadata(title: GGUFModel.title(configuration: configuration), type: type) + (try model.tokenizer(in: source))
        }
        if count > 1 {
            metadata += [
                GGUFEntry("split.no", .uint16(UInt16(clamping: index))), GGUFEntry("split.count", .uint16(UInt16(clamping: count))),
                GGUFEntry("split.tensors.count", .int32(Int32(clamping: tensors.count))),
            ]
        }
        let own = try names.map { name in
            guard let own = tensors[name] else { throw PipelineError(.internalError, "tensor \(name) has no type") }
            return own
        }
        return GGUFHeader(metadata: metadata, tensors: own)
    }
}
