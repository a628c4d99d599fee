// What a user should know of a checkpoint: names, heads and tensors that are not as the family has them.

internal import Glibc
internal import LinearAlgebra
package import MessagePassing
internal import Packing
internal import Safetensors
internal import Transformers

extension Architecture {
    /// Whether a checkpoint has a head of its own beside the embedding to which config.json ties it, with other weights. transformers then uses the
    /// checkpoint's, and ties them where they are equal.
    func hasOwnHead(_ index: CheckpointIndex) throws -> Bool {
        guard head.isTied, embedding.tokens != head.own.weight, let own = index.tensors[head.own.weight]?.description,
            let tokens = index.tensors[embedding.tokens]?.description
        else { return false }
        guard own.shape == tokens.shape, own.shape == [vocabularySize, hiddenSize] else { return true }
        let parameters = CheckpointParameters(checkpoint: Checkpoint(index: index, access: .pread), tensors: SourceTensors(plain: index))
        // A few rows at a time; heads that differ do so in the first of them.
        let rowsAtOnce = max(1, (1 << 20) / hiddenSize)
        for start in stride(from: 0, to: vocabularySize, by: rowsAtOnce) {
            let rows = start..<min(start + rowsAtOnce, vocabularySize)
            let (a, b) = (try parameters.matrix(head.own.weight, rows: rows), try parameters.matrix(embedding.tokens, rows: rows))
            guard memcmp(a.base, b.base, a.count * MemoryLayout<Float>.size) == 0 else { return true }
        }
        return false
    }

    /// Sentences on the tensors of a checkpoint.
    func remarks(on tensors: SourceTensors, isUntied: Bool) -> [String] {
        var remarks: [String] = []
        if isUntied {
            remarks.append(
                "config.json ties the head to the embedding, but \(head.own.weight) in the checkpoint differs from \(embedding.tokens): it is used as the head, as "
                    + "transformers does, and the config.json of a result says `tie_word_embeddings: false`")
        }
        if embedding.tokens == head.own.weight {
            remarks.append("the checkpoint has \(head.own.weight) alone, which is the embedding too, since config.json ties them")
        } else if let (family, file) = names.renamed.sorted(by: { $0.key < $1.key }).first {
            remarks.append(
                "the checkpoint calls \(names.renamed.count) modules otherwise than models of type \(self.family) do, such as \(file) for \(family); "
                    + "a result has the latter names, which every client knows")
        }
        let beyond = tensors.names.filter { names.blockBeyond($0) != nil }.sorted()
        if let first = beyond.first {
            let blocks = Set(beyond.compactMap(names.blockBeyond)).count
            remarks.append(
                "the checkpoint has \(blocks) \(blocks == 1 ? "block" : "blocks") beyond the \(blockCount) of config.json, which are left out of a result: "
                    + "\(beyond.count) tensors, the first being \(first)")
        }
        let predictors = tensors.names.filter { names.predictor($0) != nil }.sorted()
        if let first = predictors.first {
            remarks.append(
                "the checkpoint has blocks that predict further tokens (\(predictors.count) tensors, the first being \(first)); a result has them uncompressed")
        }
        remarks += self.remarks(onFormOf: tensors)
        if let scheme = tensors.cacheScheme {
            remarks.append(
                "clients of the checkpoint keep keys and values as \(scheme) (`kv_cache_scheme`), which are computed here as for a dense model; a result has scales of "
                    + "them where its recipe says `kv_cache`")
        }
        let unused = unused(tensors)
        if !unused.isEmpty {
            remarks.append(
                "the checkpoint has tensors that are no part of the model that config.json describes; a result in safetensors has them as they are (\(unused.count)): "
                    + unused.prefix(3).joined(separator: ", ") + (unused.count > 3 ? ", ..." : ""))
        }
        let wide = expectedTensors().filter { tensors[$0.name]?.description.type == .f64 }.count
        if wide > 0 { remarks.append("tensors of type F64 are rounded to F32, also the compressed linears of a `dense` result (\(wide))") }
        return remarks
    }

    /// Sentences on weights that are numbers times scales.
    private func remarks(onFormOf tensors: SourceTensors) -> [String] {
        let quantized = "clients of the checkpoint quantize activations too, which are computed here as for a dense model"
        guard let first = tensors.scaled.first, let type = tensors[first.tensor]?.description.type else {
            return tensors.quantizesActivations ? [quantized] : []
        }
        let formats = Set(tensors.scaled.map(\.format)).sorted().joined(separator: ", ")
        let activations = tensors.quantizesActivations ? "; \(quantized)" : ""
        return [
            "\(tensors.scaled.count) weights are stored in \(formats), and are read as numbers times scales in fp32; those that a result keeps are "
                + "\(type.rawValue)\(activations)"
        ]
    }

    /// Tensors that the model does not read, but for the buffers that older versions of transformers stored.
    private func unused(_ tensors: SourceTensors) -> [String] {
        let used = Set(expectedTensors().map(\.name) + [head.own.weight])
        let buffers = [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"]
        return tensors.names.filter { name in
            let isLeftAlone = lengthLimit.map { $0.unread.map(name.contains) ?? false } ?? false
            return !used.contains(name) && names.blockBeyond(name) == nil && names.predictor(name) == nil && !isLeftAlone
                && !buffers.contains(where: name.hasSuffix)
        }.sorted()
    }
}

extension Model {
    /// What the user should know of codes that are compressed anew: sentences, on the coordinator.
    package func remarksOnCodes(_ world: Communicator) -> [String] {
        guard world.isCoordinator, let packed = tensors.packed else { return [] }
        return ["\(path) holds codes of linears (\(packed.reader.name)): what is compressed are the weights for which they stand"]
    }
}
