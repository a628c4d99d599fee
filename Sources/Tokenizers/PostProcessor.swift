// Post-processing: the special tokens put around a text where the caller asks for them.

/// What a tokenizer's post-processor adds around one text.
struct PostProcessor: Sendable {
    private(set) var prefix: [Int32] = []
    private(set) var suffix: [Int32] = []

    init(_ node: JSONNode?) throws(TokenizerError) {
        var hasTemplate = false
        if let node { try read(node, hasTemplate: &hasTemplate) }
    }

    private mutating func read(_ node: JSONNode, hasTemplate: inout Bool) throws(TokenizerError) {
        let type = try node.type()
        switch type {
        case "Sequence":
            try node.allowOnly(["type", "processors"])
            for element in try node.required("processors").elements() { try read(element, hasTemplate: &hasTemplate) }
        case "ByteLevel":
            // Trims character offsets only, which this room does not produce.
            try node.allowOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
        case "TemplateProcessing":
            guard !hasTemplate else { throw node.error("a second TemplateProcessing is not supported.") }
            hasTemplate = true
            try readTemplate(node)
        default:
            throw node.unsupported(type: type, supported: "ByteLevel, TemplateProcessing, Sequence")
        }
    }

    /// `single` lists special tokens and, exactly once, the text ("A"). `pair` is not used here: texts are encoded one at a time.
    private mutating func readTemplate(_ node: JSONNode) throws(TokenizerError) {
        try node.allowOnly(["type", "single", "pair", "special_tokens"])
        let single = try node.required("single")
        let specialTokens = try node.required("special_tokens")
        var seenText = false
        for piece in try single.elements() {
            try piece.allowOnly(["SpecialToken", "Sequence"])
            if let token = try piece.optional("SpecialToken") {
                let name = try token.required("id")
                let ids = try Self.ids(of: name, in: specialTokens)
                if seenText { suffix += ids } else { prefix += ids }
            } else {
                let sequence = try piece.required("Sequence").required("id")
                guard try sequence.string() == "A", !seenText else {
                    throw sequence.error("expected the sequence \"A\", exactly once.")
                }
                seenText = true
            }
        }
        guard seenText else { throw single.error("the sequence \"A\" is missing.") }
    }

    private static func ids(of name: JSONNode, in specialTokens: JSONNode) throws(TokenizerError) -> [Int32] {
        let key = try name.string()
        guard let entry = try specialTokens.optional(key) else {
            throw name.error("the special token \"\(key)\" is not listed in special_tokens.")
        }
        var ids: [Int32] = []
        for id in try entry.required("ids").elements() { ids.append(try id.tokenID()) }
        return ids
    }
}
