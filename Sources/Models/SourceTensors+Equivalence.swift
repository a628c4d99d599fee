// The tensors of a model of the same function, beside those of the checkpoint from which they are made.

internal import Failures
internal import Safetensors
package import Transformers

extension SourceTensors {
    /// The tensors of a model of the same function, read from the same files.
    ///
    /// - Throws: `PipelineError` naming a tensor that the model does not use and that may read its residual stream.
    package func equivalent(_ model: EquivalentArchitecture) throws -> SourceTensors {
        let names = model.architecture.names
        // What predicts further tokens reads a rotated stream as it was.
        var result = model.block == nil ? tensors : withoutPredictors(names).tensors
        for (name, transform) in model.transforms {
            let source = name == model.architecture.head.own.weight ? model.embeddingOfHead ?? name : name
            guard let tensor = self[source] else { continue }
            let type = tensor.description.type.ofWeights
            result[name] = Tensor(
                description: try TensorDescription(name: name, type: type, shape: tensor.description.shape), storage: tensor.storage, parts: tensor.parts,
                numbers: .transformed(source: source, by: transform))
        }
        let used = Set(model.architecture.expectedTensors().map(\.name)), hidden = model.architecture.hiddenSize
        let strangers = result.filter { name, tensor in
            tensor.description.shape.count > 1 && tensor.description.shape.contains(hidden) && !used.contains(name) && names.blockBeyond(name) == nil
                && (model.block != nil || names.isInBlock(name))
        }
        guard let first = strangers.keys.min() else { return with(result) }
        let (key, what) = model.block == nil ? ("equalize", "channels that are scaled") : ("rotate", "the residual stream")
        throw PipelineError(
            .badInput,
            "`\(key)`: \(index.directory) has tensors that Cleave does not read and that may belong to \(what) (\(strangers.count), the first being "
                + "\(first)); leave `\(key)` out")
    }

    /// Without those of blocks that predict further tokens.
    func withoutPredictors(_ names: TensorNames) -> SourceTensors { with(tensors.filter { names.predictor($0.key) == nil }) }
}

extension EquivalentArchitecture {
    /// Sentences on what was done.
    ///
    /// - Parameter tensors: those of the checkpoint.
    func remarks(_ tensors: SourceTensors) -> [String] { rotationRemarks(tensors) + channelRemarks }

    private var channelRemarks: [String] {
        guard channels.count + keptChannelMakers > 0 else { return [] }
        let kept = keptChannelMakers == 0 ? "" : "; \(keptChannelMakers) others stay as they are (docs/methods.md, \"Channels of one size\")"
        return ["columns of linears are scaled to one size: those behind \(channels.count) norms, values and gated outputs\(kept)"]
    }

    private func rotationRemarks(_ tensors: SourceTensors) -> [String] {
        guard let block else { return [] }
        let heads =
            rotatedAttentions == attentions ? "the values of all heads" : "the values of heads in \(rotatedAttentions) of \(attentions) attention layers"
        var remarks = ["norms are folded into the linears behind them, and the residual stream is rotated in blocks of \(block), with \(heads)"]
        if let embedding = embeddingOfHead, let description = tensors[embedding]?.description {
            let byteCount = description.shape.reduce(description.type.ofWeights.bits / 8, *)
            remarks.append(
                "the rotated head is no longer the embedding: the result has both (\(byteCount) bytes more) and its config.json says "
                    + "`tie_word_embeddings: false`")
        }
        let predictors = tensors.names.filter { architecture.names.predictor($0) != nil }
        if let first = predictors.min() {
            remarks.append(
                "blocks that predict further tokens are left out of a result, since they read the residual stream as it was (\(predictors.count) tensors, the first "
                    + "being \(first)): serve it without speculation by them")
        }
        return remarks
    }
}
