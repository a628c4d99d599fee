// A model's architecture as data: what config.json means.

/// A decoder-only language model: embedding, blocks, final norm, head.
public struct Architecture: Sendable, Equatable {
    /// The model_type of config.json.
    public let family: String
    /// Columns of the residual stream.
    public let hiddenSize: Int
    public let vocabularySize: Int
    /// The longest sequence the model was made for.
    public let maximumPositions: Int
    public let embedding: Embedding
    public let blocks: [Block]
    public let finalNorm: Norm
    public let head: Head
    /// The longest sequence for which blocks are all that the model computes; nil: any.
    public let lengthLimit: LengthLimit?
    /// What the checkpoint calls its tensors.
    public let names: TensorNames

    init(
        family: String, hiddenSize: Int, vocabularySize: Int, maximumPositions: Int, embedding: Embedding, blocks: [Block],
        finalNorm: Norm, head: Head, lengthLimit: LengthLimit? = nil, names: TensorNames = .plain
    ) {
        self.family = family
        self.hiddenSize = hiddenSize
        self.vocabularySize = vocabularySize
        self.maximumPositions = maximumPositions
        self.embedding = embedding
        self.blocks = blocks
        self.finalNorm = finalNorm
        self.head = head
        self.lengthLimit = lengthLimit
        self.names = names
    }

    /// The same architecture with other parts.
    func with(embedding: Embedding? = nil, head: Head? = nil, lengthLimit: LengthLimit? = nil, names: TensorNames? = nil) -> Architecture {
        Architecture(
            family: family, hiddenSize: hiddenSize, vocabularySize: vocabularySize, maximumPositions: maximumPositions,
            embedding: embedding ?? self.embedding, blocks: blocks, finalNorm: finalNorm, head: head ?? self.head,
            lengthLimit: lengthLimit ?? self.lengthLimit, names: names ?? self.names)
    }

    /// The same architecture with the head that a checkpoint has beside an embedding to which config.json ties it.
    public func untied() -> Architecture { with(head: head.untied) }

    public var blockCount: Int { blocks.count }

    /// The names by which clients know the modules that are never compressed, though they are linears: routers, and the head.
    public var plainModules: [String] { blocks.flatMap(\.plainLinears).map(\.name) + head.modules }

    public func block(_ index: Int) -> Block { blocks[index] }

    /// Whether any block ends in a mixture of experts.
    public var hasExperts: Bool { blocks.contains { $0.mixture != nil } }
}

/// Beyond so many tokens a model computes something else than its architecture here.
public struct LengthLimit: Sendable, Hashable {
    public let tokens: Int
    /// Of config.json.
    public let key: String
    /// What changes.
    public let reason: String
    /// A part of the names of tensors that are of use only beyond: they are not read, and a result has them as they are.
    public var unread: String? = nil
}

/// How token ids become the residual stream.
public struct Embedding: Sendable, Hashable {
    /// Learned position embeddings: token i of a sequence adds row i + offset.
    public struct Positions: Sendable, Hashable {
        public let tensor: String
        /// Rows of the tensor.
        public let rows: Int
        public let offset: Int
    }

    /// Tensor name; [vocabulary, hidden].
    public let tokens: String
    public let positions: Positions?
    /// Whether sequences longer than the model's positions cannot be computed.
    public let isBounded: Bool
    /// What embeddings are multiplied by; nil: 1.
    let scale: Scale?
    /// Of the sum; nil: none.
    let norm: Norm?

    enum Scale: Hashable {
        case number(Float)
        /// Rounded to the type in which the model's numbers are, which config.json may name.
        case rounded(Double, to: StoredType?)
    }

    init(tokens: String, positions: Positions?, isBounded: Bool? = nil, scale: Scale? = nil, norm: Norm? = nil) {
        self.tokens = tokens
        self.positions = positions
        self.isBounded = isBounded ?? (positions != nil)
        self.scale = scale
        self.norm = norm
    }
}

/// The linear layer from the final norm to the vocabulary's logits.
public struct Head: Sendable, Hashable {
    /// With a weight of its own.
    public let own: Linear
    /// The embedding's tensor, where that is the weight.
    let embedding: String?
    /// The names by which clients know its module, tied or not.
    public let modules: [String]
    /// What logits are multiplied by; nil: 1.
    let scale: Float?
    /// Logits x become c tanh(x / c); nil: they stay.
    public let softcap: Float?

    /// A head of its own, or the embedding's weight where `embedding` is given.
    init(_ names: ModuleNames, tiedTo embedding: String?, vocabularySize: Int, hiddenSize: Int, bias: Bool = false, scale: Float? = nil, softcap: Float? = nil)
    {
        let own = Linear(names.head, rows: vocabularySize, columns: hiddenSize, bias: bias)
        self.init(own: own, embedding: embedding, modules: names.headModules, scale: scale, softcap: softcap)
    }

    init(own: Linear, embedding: String?, modules: [String], scale: Float?, softcap: Float?) {
        self.own = own
        self.embedding = embedding
        self.modules = modules
        self.scale = scale
        self.softcap = softcap
    }

    /// Whether the weight is the token embedding.
    public var isTied: Bool { embedding != nil }

    public var linear: Linear { embedding.map { own.with(weight: $0) } ?? own }

    var untied: Head { Head(own: own, embedding: nil, modules: modules, scale: scale, softcap: softcap) }
}
