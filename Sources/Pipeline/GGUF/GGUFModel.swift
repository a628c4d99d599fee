// What a GGUF file says of a model's architecture, and which architectures it can be said of.

internal import GGUF
internal import Packing
internal import Safetensors
internal import Transformers

/// An architecture as llama.cpp knows it.
struct GGUFModel: Sendable {
    /// `general.architecture`.
    private let name: String
    private let architecture: Architecture
    private let attention: Attention
    private let intermediateSize: Int

    /// llama.cpp's names by transformers' model_type.
    private static let names = ["llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"]

    /// - Throws: `PipelineError` that says what llama.cpp, or this writer, has no place for.
    init(_ architecture: Architecture) throws {
        guard let name = Self.names[architecture.family] else {
            let known = Self.names.keys.sorted().joined(separator: ", ")
            throw PipelineError(
                .badInput, "GGUF is written and read for models of the types \(known), and this one is \(architecture.family); use another format")
        }
        let attentions = architecture.blocks.compactMap { block in block.stages.lazy.compactMap { $0.effect as? Attention }.first }
        guard let attention = attentions.first, attentions.count == architecture.blockCount, attentions.allSatisfy({ $0.hasShape(of: attention) }),
            let down = architecture.blocks.first?.stages.last?.linears.first
        else { throw Self.refusal("blocks whose attention differs") }
        if attention.window != nil { throw Self.refusal("attention that sees a window of tokens") }
        guard let rotary = attention.rotary, rotary.size == attention.headSize, !rotary.isInterleaved else { throw Self.refusal("heads rotated in part") }
        switch rotary.scaling {
        case .none, .linear, .llama3: break
        case .yarn, .dynamic, .longRope, .divided: throw Self.refusal("rotations scaled in another way than linear or llama3")
        }
        if let foreign = architecture.expectedTensors().map({ architecture.names.familyName($0.name) }).first(where: { GGUFNames.name(of: $0) == nil }) {
            throw Self.refusal("the tensor \(foreign), for which GGUF has no name here")
        }
        self.name = name
        self.architecture = architecture
        self.attention = attention
        intermediateSize = down.columns
    }

    private static func refusal(_ what: String) -> PipelineError {
        PipelineError(.badInput, "GGUF is not written or read here for models with \(what); use another format, such as compressed-tensors")
    }

    /// The order of a linear's rows: llama.cpp rotates neighbours in models of its architecture `llama`, and halves in others.
    func pairing(of module: String) -> RowPairing? {
        name == "llama" && (module.hasSuffix(".q_proj") || module.hasSuffix(".k_proj")) ? RowPairing(headRows: attention.headSize) : nil
    }

    /// What the frequencies of the rotation are divided by, where each has a divisor of its own.
    var frequencyFactors: [Float]? {
        guard let rotary = attention.rotary, case .llama3 = rotary.scaling else { return nil }
        let plain = Rotary(size: rotary.size, divisor: rotary.divisor, base: rotary.base, scaling: .none)
        return zip(plain.frequencies, rotary.frequencies).map { Float($0 / $1) }
    }

    /// The metadata of the architecture. Source: llama.cpp, `conversion/base.py` and `llama.py`, `llama-model.cpp` (`load_hparams`).
    ///
    /// - Parameters:
    ///   - title: what to call the model.
    ///   - type: of most weights.
    func metadata(title: String, type: GGMLType) -> [GGUFEntry] {
        func count(_ key: String, _ value: Int) -> GGUFEntry { GGUFEntry("\(name).\(key)", .uint32(UInt32(clamping: value))) }
        func number(_ key: String, _ value: Double) -> GGUFEntry { GGUFEntry("\(name).\(key)", .float32(Float(value))) }
        var entries = [
            GGUFEntry("general.architecture", .string(name)), GGUFEntry("general.type", .string("model")), GGUFEntry("general.name", .string(title)),
            GGUFEntry("general.file_type", .uint32(type.fileType)), GGUFEntry("general.quantization_version", .uint32(2)),
            count("block_count", architecture.blockCount), count("context_length", architecture.maximumPositions),
            count("embedding_length", architecture.hiddenSize), count("feed_forward_length", intermediateSize), count("attention.head_count", attention.heads),
            count("attention.head_count_kv", attention.keyValueHeads), count("attention.key_length", attention.headSize),
            count("attention.value_length", attention.headSize),
            number("attention.layer_norm_rms_epsilon", Double(architecture.finalNorm.epsilon)), count("vocab_size", architecture.vocabularySize),
        ]
        if let rotary = attention.rotary {
            entries += [count("rope.dimension_count", rotary.size), number("rope.freq_base", rotary.base)]
            if case .linear(let factor) = rotary.scaling {
                entries += [GGUFEntry("\(name).rope.scaling.type", .string("linear")), number("rope.scaling.factor", factor)]
            }
        }
        return entries
    }

    /// The metadata of a tokenizer.
    /// - Parameter directory: of the model.
    func tokenizer(in directory: String) throws -> [GGUFEntry] {
        func optional(_ name: String) throws(SafetensorsError) -> [UInt8]? {
            do {
                return try InputFile.bytes(of: directory + "/" + name)
            } catch {
                guard error.kind == .missing else { throw error }
                return nil
            }
        }
        do {
            return try TokenizerMetadata(
                tokenizer: InputFile.json(of: directory + "/tokenizer.json"), settings: optional("tokenizer_config.json"),
                configuration: InputFile.json(of: directory + "/config.json"),
                chatTemplate: optional("chat_template.jinja").map { String(decoding: $0, as: UTF8.self) }, vocabularySize: architecture.vocabularySize
            ).entries
        } catch let error as GGUFError {
            throw PipelineError(.badInput, "\(directory): `format: gguf` carries the tokenizer too: \(error)")
        }
    }
}

extension Attention {
    /// Whether another's heads and rotation are those of this one.
    fileprivate func hasShape(of other: Attention) -> Bool {
        (heads, keyValueHeads, headSize, window) == (other.heads, other.keyValueHeads, other.headSize, other.window) && rotary == other.rotary
            && scale == other.scale && layout == .separate
    }
}
