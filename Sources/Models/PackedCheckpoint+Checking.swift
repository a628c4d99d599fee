// Whether what config.json says of compression and what lies in the files belong together, as clients would find it.

internal import Failures
internal import Foundation
internal import Packing
internal import Safetensors
internal import Transformers

/// Holds config.json to the tensors: a client that finds codes where it looks for weights, or weights where it looks for codes, makes numbers up.
///
/// - Throws: `PipelineError` (65) that says which of the two to mend.
func checkPacking(_ tensors: SourceTensors, _ architecture: Architecture) throws {
    let index = tensors.index, directory = index.directory
    guard let packed = tensors.packed else { return try checkDense(architecture, tensors) }
    let linears = architecture.linears, head = architecture.head
    let suffix = packed.reader.codesSuffix
    guard !tensors.scaled.isEmpty || (linears.map(\.weight) + [head.linear.weight]).contains(where: { packed.holds($0, index) }) else {
        throw PipelineError(
            .badInput,
            "\(directory)/config.json says that weights are compressed (\(packed.reader.name)), but no linear of the model has a tensor *\(suffix). "
                + "If the weights are dense, remove `quantization_config`, which was left over")
    }
    if !head.isTied, packed.holds(architecture.embedding.tokens, index) {
        throw PipelineError(
            .badInput, "\(directory): the embedding \(packed.linear(architecture.embedding.tokens))\(suffix) is compressed, which cannot be read")
    }
    let mistaken =
        linears.filter { !packed.holds($0.weight, index) && packed.reader.expectsCodes($0.name) }.map(\.name)
        + (!head.isTied && !packed.holds(head.linear.weight, index) && head.modules.allSatisfy(packed.reader.expectsCodes) ? [head.linear.name] : [])
    if let first = mistaken.first {
        throw PipelineError(
            .badInput,
            "\(directory)/config.json calls linears compressed that lie in the checkpoint as plain weights: \(first)"
                + "\(mistaken.count > 1 ? " and \(mistaken.count - 1) more" : ""). What is plain, add to `ignore`")
    }
}

/// Names what codes without a `quantization_config` are.
private func checkDense(_ architecture: Architecture, _ tensors: SourceTensors) throws {
    let index = tensors.index
    if let name = tensors.scaledFormat, tensors.scaled.isEmpty {
        throw PipelineError(
            .badInput,
            "\(index.directory)/config.json says that weights are stored in \(name), but no tensor is. If the weights are dense, remove `quantization_config`, "
                + "which was left over")
    }
    guard tensors.scaled.isEmpty else { return }
    let suffixes = [".qweight", ".weight_packed", ".B", ".w_comp", ".dense_weights"]
    for linear in architecture.linears where index.tensors[linear.weight] == nil {
        guard let suffix = suffixes.first(where: { index.tensors[linear.name + $0] != nil }) else { continue }
        let beside = FileManager.default.fileExists(atPath: index.directory + "/quantize_config.json")
        let remedy =
            beside
            ? "quantize_config.json says how, but clients look into config.json: put its object there as `quantization_config`, with `\"quant_method\": \"gptq\"`"
            : "add the object `quantization_config` that the program which wrote the checkpoint has for it"
        throw PipelineError(
            .badInput, "\(index.directory): the weights are compressed (\(linear.name)\(suffix)), and config.json does not say how: \(remedy)")
    }
}
