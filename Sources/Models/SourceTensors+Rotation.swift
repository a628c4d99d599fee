// The tensors of a model whose weights are rotated, beside those of the checkpoint from which they are made.

internal import Failures
internal import Safetensors
package import Transformers

extension SourceTensors {
    /// The tensors of a model of the same function, read from the same files.
    ///
    /// - Throws: `PipelineError` naming a tensor that the model does not use and that may read its residual stream.
    package func rotated(_ rotated: RotatedArchitecture) throws -> SourceTensors {
        let names = rotated.architecture.names
        // What predicts further tokens reads the stream as it was.
        var result = withoutPredictors(names).tensors
        for (name, transform) in rotated.transforms {
            let source = name == rotated.architecture.head.own.weight ? rotated.embeddingOfHead ?? name : name
            guard let tensor = self[source] else { continue }
            let type = tensor.description.type.ofWeights
            result[name] = Tensor(
                description: try TensorDescription(name: name, type: type, shape: tensor.description.shape), storage: tensor.storage, parts: tensor.parts,
                numbers: .transformed(source: source, by: transform))
        }
        let used = Set(rotated.architecture.expectedTensors().map(\.name)), hidden = rotated.architecture.hiddenSize
        let strangers = result.filter { name, tensor in
            tensor.description.shape.count > 1 && tensor.description.shape.contains(hidden) && !used.contains(name) && names.blockBeyond(name) == nil
        }
        guard let first = strangers.keys.min() else { return with(result) }
        throw PipelineError(
            .badInput,
            "`rotate`: \(index.directory) has tensors that Cleave does not read and that may belong to the residual stream (\(strangers.count), the first being "
                + "\(first)); leave `rotate` out")
    }
}

extension RotatedArchitecture {
    /// Sentences on what was done.
    ///
    /// - Parameter tensors: those of the checkpoint.
    func remarks(_ tensors: SourceTensors) -> [String] {
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
