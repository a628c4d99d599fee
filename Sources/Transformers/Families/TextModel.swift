// The language model inside a model for several kinds of input.

/// Where such a language model's keys are, and which they are.
struct TextModel: Sendable {
    /// The object of config.json that holds its keys.
    static let key = "text_config"

    /// The model_types that the object may have.
    let modelTypes: [String]
    let keys: FamilyKeys
}
