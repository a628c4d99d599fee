// A model that GGUF can hold: what llama.cpp would compute otherwise is refused.

internal import GGUF
package import Packing
package import Transformers

/// An architecture as llama.cpp knows it.
package struct GGUFModel: Sendable {
    package let family: GGUFFamily
    package let architecture: Architecture
    package let attention: GGUFAttention
    /// Of the blocks that end in experts, all alike.
    package let experts: GGUFExperts?
    /// Rows of the gate of a feed-forward network; those of an expert where no block has another.
    package let intermediateSize: Int

    /// - Throws: `PipelineError` that says what llama.cpp, or this writer, has no place for.
    package init(_ architecture: Architecture) throws {
        family = try GGUFFamily.of(architecture.family)
        self.architecture = architecture
        attention = try GGUFAttention(architecture, family)
        experts = try GGUFExperts(architecture, family)
        guard let down = architecture.blocks.first?.stages.last?.linears.first else { throw beyondGGUF("no blocks") }
        intermediateSize = down.columns
        if let hasHead = family.hasHead, hasHead == architecture.head.isTied {
            throw beyondGGUF(
                "a head \(hasHead ? "tied to the embedding" : "of its own"), which llama.cpp does not take in its architecture \(family.architecture)")
        }
        if family.hasCaps != (architecture.head.softcap != nil) {
            throw beyondGGUF(
                "logits \(family.hasCaps ? "without" : "with") a cap, which llama.cpp does not compute in its architecture \(family.architecture)")
        }
        if let gate = architecture.blocks.lazy.flatMap(\.stages).compactMap(\.gate).first(where: { $0 != family.activation }) {
            throw beyondGGUF("the activation \(gate), which llama.cpp does not compute in its architecture \(family.architecture)")
        }
        let names = family.names
        let foreign = architecture.expectedTensors().map { architecture.names.familyName($0.name) }.first {
            names.name(of: $0) == nil && names.expertTensor(of: $0) == nil && names.latentName(of: $0) == nil
        }
        if let foreign { throw beyondGGUF("the tensor \(foreign), for which GGUF has no name here") }
    }

    /// Why the codes of a linear cannot be stored; nil where they can.
    package func refusal(of linear: Linear) -> String? {
        guard family.names.latentName(of: linear.name + ".weight") != nil else { return nil }
        return "llama.cpp has it as two tensors, one of them transposed, so that codes would lie across its blocks; name it under `ignore`, such as "
            + "`ignore: ['*.kv_b_proj']`: it keeps its type then"
    }

    /// The order of a linear's rows: llama.cpp rotates neighbours in models of its architecture `llama`, and halves in others.
    package func pairing(of module: String) -> RowPairing? {
        guard family.pairsRows, module.hasSuffix(".q_proj") || module.hasSuffix(".k_proj"), case .grouped(let attention, _) = attention else { return nil }
        return RowPairing(headRows: attention.headSize)
    }

    /// What a file adds to the numbers of a tensor: the 1 to which transformers' norms of this kind add theirs.
    package func addend(to tensor: String) -> Float {
        architecture.finalNorm.kind == .zeroCentredRootMeanSquare && tensor.hasSuffix("norm.weight") ? 1 : 0
    }

    /// What the frequencies of the rotation are divided by, where each has a divisor of its own.
    package var frequencyFactors: [Float]? {
        guard let rotary = attention.rotary, case .llama3 = rotary.scaling else { return nil }
        let plain = Rotary(size: rotary.size, divisor: rotary.divisor, base: rotary.base, scaling: .none)
        return zip(plain.frequencies, rotary.frequencies).map { Float($0 / $1) }
    }
}
