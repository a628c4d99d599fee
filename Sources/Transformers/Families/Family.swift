// The model families that are known. A new family is one file beside this one and one entry here.

/// How the config.json of one model_type becomes an architecture.
struct Family: Sendable {
    let modelType: String
    /// Why a model of this family cannot be run, where it can only be planned; nil where it can be run.
    var refusal: String? = nil
    /// From the configuration and the checkpoint's tensor names (empty where they are not known).
    let architecture: @Sendable (Configuration, Set<String>) throws(ArchitectureError) -> Architecture

    static let all: [Family] = [.deepSeekV3, .gpt2, .gptNeoX, .llama, .mistral, .opt, .qwen2, .qwen3]
}

/// Extents of attention that every family needs, checked against each other.
struct HeadCounts {
    let heads: Int
    let keyValueHeads: Int
    let size: Int

    init(_ configuration: Configuration, headsKey: String, hiddenSize: Int, keyValueHeads: Int? = nil, size: Int? = nil) throws(ArchitectureError) {
        heads = try configuration.count(headsKey)
        self.keyValueHeads = keyValueHeads ?? heads
        guard size != nil || hiddenSize % heads == 0 else {
            throw configuration.invalid(headsKey, "a divisor of the hidden size, \(hiddenSize)")
        }
        guard heads % self.keyValueHeads == 0 else {
            throw configuration.invalid("num_key_value_heads", "a divisor of the number of heads, \(heads)")
        }
        self.size = size ?? hiddenSize / heads
    }

    var scale: Float { Float(1 / Double(size).squareRoot()) }
}

/// The first of several prefixes under which the checkpoint has a tensor; the first of all where its names are not known.
func namePrefix(_ prefixes: [String], of tensor: String, in tensors: Set<String>) -> String {
    prefixes.first { tensors.contains($0 + tensor) } ?? prefixes.first ?? ""
}
