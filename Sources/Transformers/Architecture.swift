// A model's architecture as data: what config.json means.

public import Foundation

/// A decoder-only language model: embedding, blocks, final norm, head.
public struct Architecture: Sendable, Equatable, Codable {
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

    /// Reads a config.json.
    ///
    /// - Parameters:
    ///   - configuration: the file's bytes.
    ///   - source: the file's name, for messages.
    ///   - tensors: the checkpoint's tensor names where they are known; families whose checkpoints come with and without a name prefix
    ///     choose by it.
    /// - Throws: also for a family that can be planned and not run.
    public init(configuration: Data, source: String, tensors: Set<String> = []) throws(ArchitectureError) {
        let keys = try Configuration(configuration, source: source)
        let family = try Self.family(keys)
        if let reason = family.refusal { throw .onlyPlanned(source: source, modelType: family.modelType, reason: reason) }
        self = try family.architecture(keys, tensors)
    }

    /// Reads a config.json for planning alone: families without a forward pass are welcome.
    public init(shape configuration: Data, source: String) throws(ArchitectureError) {
        let keys = try Configuration(configuration, source: source)
        self = try Self.family(keys).architecture(keys, [])
    }

    private static func family(_ keys: Configuration) throws(ArchitectureError) -> Family {
        let modelType = try keys.string("model_type")
        guard let family = Family.all.first(where: { $0.modelType == modelType }) else {
            throw .unknownModelType(source: keys.source, found: modelType, known: Family.all.filter { $0.refusal == nil }.map(\.modelType).sorted())
        }
        return family
    }

    init(
        family: String, hiddenSize: Int, vocabularySize: Int, maximumPositions: Int, embedding: Embedding, blocks: [Block],
        finalNorm: Norm, head: Head
    ) {
        self.family = family
        self.hiddenSize = hiddenSize
        self.vocabularySize = vocabularySize
        self.maximumPositions = maximumPositions
        self.embedding = embedding
        self.blocks = blocks
        self.finalNorm = finalNorm
        self.head = head
    }

    public var blockCount: Int { blocks.count }

    public func block(_ index: Int) -> Block { blocks[index] }
}

/// How token ids become the residual stream.
public struct Embedding: Sendable, Equatable, Codable {
    /// Learned position embeddings: token i of a sequence adds row i + offset.
    public struct Positions: Sendable, Equatable, Codable {
        public let tensor: String
        /// Rows of the tensor.
        public let rows: Int
        public let offset: Int
    }

    /// Tensor name; [vocabulary, hidden].
    public let tokens: String
    public let positions: Positions?
}

/// The linear layer from the final norm to the vocabulary's logits.
public struct Head: Sendable, Equatable, Codable {
    public let linear: Linear
    /// Whether the weight is the token embedding.
    public let isTied: Bool

    /// A head of its own, or the embedding's weight where `embedding` is given.
    init(_ name: String, tiedTo embedding: String?, vocabularySize: Int, hiddenSize: Int) {
        let own = Linear(name, rows: vocabularySize, columns: hiddenSize, bias: false)
        isTied = embedding != nil
        linear = embedding.map { own.with(weight: $0) } ?? own
    }
}
