// What a recipe says of GGUF results alone.

public import Compression

/// The types of the tensors that are not solved for.
public struct GGUFSettings: Sendable, Equatable {
    /// A type of plain numbers, or of blocks to which they are rounded to nearest.
    public struct TensorType: RawRepresentable, CaseIterable, Sendable, Equatable {
        public let rawValue: String

        /// nil of what is no type of GGUF here.
        public init?(rawValue: String) {
            guard Self.plain.contains(rawValue) || NumberType(rawValue: rawValue)?.blocks != nil else { return nil }
            self.rawValue = rawValue
        }

        private static let plain = ["f32", "bf16", "f16"]

        public static var allCases: [TensorType] {
            (plain + NumberType.allCases.filter { $0.blocks != nil }.map(\.rawValue)).compactMap(TensorType.init)
        }

        /// nil of plain numbers.
        public var blocks: NumberType? { NumberType(rawValue: rawValue) }
    }

    /// Of the embedding, and of that alone where it is the head too; nil: what follows from the types of other weights.
    public var tokenEmbeddingType: TensorType?
    /// Of the head, and of an embedding that is the head where `tokenEmbeddingType` is nil.
    public var outputTensorType: TensorType?

    public init(tokenEmbeddingType: TensorType? = nil, outputTensorType: TensorType? = nil) {
        self.tokenEmbeddingType = tokenEmbeddingType
        self.outputTensorType = outputTensorType
    }

    static let keys = ["token_embedding_type", "output_tensor_type"]
}

extension GGUFSettings {
    init(_ mapping: YAMLMapping) throws(RecipeError) {
        self.init(tokenEmbeddingType: try mapping.choice("token_embedding_type"), outputTensorType: try mapping.choice("output_tensor_type"))
    }
}
