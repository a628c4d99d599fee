// What GGUF calls the tensors of a family of models.

/// Names of tensors. Source: gguf, `constants.py` (`TENSOR_NAMES`) and `tensor_mapping.py`.
public struct GGUFNames: Sendable {
    /// What transformers calls the linears of an expert: each is an entry of a tensor that holds those of all experts of its block.
    struct Experts {
        /// In a block, without the expert's number.
        let module: String
        /// Gate, up, down.
        let linears: [String]
    }

    /// A linear of one expert.
    public struct ExpertTensor: Equatable, Sendable {
        /// The tensor of all experts: [experts, rows, columns].
        public let stack: String
        public let expert: Int
    }

    /// The halves of what makes keys and values of the latent vector: GGUF has a tensor for each, and transformers one for both.
    public enum LatentHalf: String, CaseIterable, Sendable {
        /// [heads, latent, plain part of a key]: each head's rows are columns here.
        case keys = "attn_k_b.weight"
        /// [heads, value, latent]
        case values = "attn_v_b.weight"
    }

    private static let whole = ["model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"]
    private static let blocks = "model.layers."
    /// Of experts' gates, ups and downs.
    private static let stacks = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]
    /// Divisors of the rotation's frequencies, which no checkpoint has as a tensor.
    public static let frequencyFactors = "rope_freqs.weight"

    private let ofBlock: [String: String]
    private let modulesOfBlock: [String: String]
    private let experts: Experts?
    /// Modules whose weight is one row in transformers, and has no rows in GGUF.
    private let singleRows: Set<String>
    /// The tensor of a block that is both halves.
    private let latent: String?

    /// - Parameter modules: of a block, beside those of Llama or in their place.
    init(_ modules: [String: String] = [:], experts: Experts? = nil, singleRows: Set<String> = [], latent: String? = nil) {
        ofBlock = Self.ofLlama.merging(modules) { $1 }
        modulesOfBlock = Dictionary(ofBlock.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        self.experts = experts
        self.singleRows = singleRows
        self.latent = latent
    }

    /// The name of a tensor that transformers calls so; nil where GGUF has none for it by itself.
    public func name(of tensor: String) -> String? {
        guard let dot = tensor.lastIndex(of: ".") else { return nil }
        let (module, rest) = (String(tensor[..<dot]), tensor[dot...])
        if let name = Self.whole[module] { return name + rest }
        guard let (block, own) = Self.inBlock(tensor, after: Self.blocks) else { return nil }
        if let name = ofBlock[own] { return "blk.\(block).\(name)" }
        return ofBlock[String(own.dropLast(rest.count))].map { "blk.\(block).\($0)\(rest)" }
    }

    /// Where GGUF has the weight of an expert's linear; nil of other tensors.
    public func expertTensor(of tensor: String) -> ExpertTensor? {
        guard let experts, let (block, own) = Self.inBlock(tensor, after: Self.blocks), own.hasPrefix(experts.module + ".") else { return nil }
        let parts = own.dropFirst(experts.module.count + 1).split(separator: ".")
        guard parts.count == 3, parts[2] == "weight", let expert = Int(parts[0]), let place = experts.linears.firstIndex(of: String(parts[1])) else {
            return nil
        }
        return ExpertTensor(stack: "blk.\(block).\(Self.stacks[place]).weight", expert: expert)
    }

    /// The names of the halves of a tensor that is both; nil of other tensors.
    public func latentName(of tensor: String) -> (@Sendable (LatentHalf) -> String)? {
        guard let latent, let (block, own) = Self.inBlock(tensor, after: Self.blocks), own == latent else { return nil }
        return { "blk.\(block).\($0.rawValue)" }
    }

    /// transformers' name of a tensor of which this one is a half, and which half; nil of other tensors.
    public func transformersName(ofHalf tensor: String) -> (name: String, half: LatentHalf)? {
        guard let latent, let (block, own) = Self.inBlock(tensor, after: "blk."), let half = LatentHalf(rawValue: own) else { return nil }
        return ("\(Self.blocks)\(block).\(latent)", half)
    }

    /// transformers' name of a tensor; nil for one that it does not have.
    public func transformersName(of tensor: String) -> String? {
        guard let dot = tensor.lastIndex(of: ".") else { return nil }
        let (module, rest) = (String(tensor[..<dot]), tensor[dot...])
        if let name = Self.whole.first(where: { $0.value == module })?.key { return name + rest }
        guard let (block, own) = Self.inBlock(tensor, after: "blk.") else { return nil }
        if let name = modulesOfBlock[own] { return "\(Self.blocks)\(block).\(name)" }
        return modulesOfBlock[String(own.dropLast(rest.count))].map { "\(Self.blocks)\(block).\($0)\(rest)" }
    }

    /// transformers' names of the weights, by expert, that a tensor holds for all of them; nil of other tensors.
    public func transformersName(ofStack tensor: String) -> (@Sendable (Int) -> String)? {
        guard let experts, let (block, own) = Self.inBlock(tensor, after: "blk."), own.hasSuffix(".weight"),
            let place = Self.stacks.firstIndex(of: String(own.dropLast(".weight".count)))
        else { return nil }
        return { "\(Self.blocks)\(block).\(experts.module).\($0).\(experts.linears[place]).weight" }
    }

    /// Whether a tensor of a file is, or holds, some of transformers' model.
    public func isKnown(_ tensor: String) -> Bool {
        transformersName(of: tensor) != nil || transformersName(ofStack: tensor) != nil || transformersName(ofHalf: tensor) != nil
    }

    /// Whether a tensor, by transformers' name, is one row there and has no rows in GGUF.
    public func isSingleRow(_ tensor: String) -> Bool {
        Self.inBlock(tensor, after: Self.blocks).map { singleRows.contains($0.own) } ?? false
    }

    /// The number of a block, and the rest of a tensor's name.
    private static func inBlock(_ tensor: String, after prefix: String) -> (block: Int, own: String)? {
        guard tensor.hasPrefix(prefix) else { return nil }
        let parts = tensor.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let block = Int(parts[0]) else { return nil }
        return (block, String(parts[1]))
    }
}
