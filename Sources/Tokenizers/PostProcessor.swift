// Post-processing: the special tokens put around a text where the caller asks for them.

/// What a tokenizer's post-processor adds around one text.
struct PostProcessor: Sendable {
    private(set) var prefix: [Int32] = []
    private(set) var suffix: [Int32] = []

    init(_ node: JSONNode?) throws(TokenizerError) {
        if let node { try read(node) }
    }

    /// Processors of a sequence each work on what the one before has made: later tokens lie further out.
    private mutating func read(_ node: JSONNode) throws(TokenizerError) {
        let type = try node.type()
        switch type {
        case "Sequence":
            try node.allowOnly(["type", "processors"])
            for element in try node.required("processors").elements() { try read(element) }
        case "ByteLevel":
            // Trims character offsets only, which this room does not produce.
            try node.allowOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
        case "TemplateProcessing": try readTemplate(node)
        case "BertProcessing":
            try node.allowOnly(["type", "sep", "cls"])
            try readFrame(node)
        case "RobertaProcessing":
            // The prefix space is a matter of offsets here; the pre-tokenizer has its own setting for texts.
            try node.allowOnly(["type", "sep", "cls", "trim_offsets", "add_prefix_space"])
            try readFrame(node)
        default:
            throw node.unsupported(type: type, supported: "ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, Sequence")
        }
    }

    private mutating func wrap(_ before: [Int32], _ after: [Int32]) {
        prefix = before + prefix
        suffix += after
    }

    /// `cls` before the text and `sep` after it, each a spelling with its id.
    ///
    /// Source: huggingface/tokenizers, `processors/bert.rs` and `processors/roberta.rs`.
    private mutating func readFrame(_ node: JSONNode) throws(TokenizerError) {
        try wrap([Self.id(try node.required("cls"))], [Self.id(try node.required("sep"))])
    }

    private static func id(_ token: JSONNode) throws(TokenizerError) -> Int32 {
        let parts = try token.elements()
        guard parts.count == 2 else { throw token.error("expected a token and its id, found \(parts.count) values.") }
        _ = try parts[0].string()
        return try parts[1].tokenID()
    }

    /// `single` lists special tokens and, exactly once, the text ("A"). `pair` is not used here: texts are encoded one at a time.
    private mutating func readTemplate(_ node: JSONNode) throws(TokenizerError) {
        try node.allowOnly(["type", "single", "pair", "special_tokens"])
        let single = try node.required("single")
        let specialTokens = try node.required("special_tokens")
        var (before, after) = ([Int32](), [Int32]())
        var seenText = false
        for piece in try single.elements() {
            try piece.allowOnly(["SpecialToken", "Sequence"])
            if let token = try piece.optional("SpecialToken") {
                let name = try token.required("id")
                let ids = try Self.ids(of: name, in: specialTokens)
                if seenText { after += ids } else { before += ids }
            } else {
                let sequence = try piece.required("Sequence").required("id")
                guard try sequence.string() == "A", !seenText else {
                    throw sequence.error("expected the sequence \"A\", exactly once.")
                }
                seenText = true
            }
        }
        guard seenText else { throw single.error("the sequence \"A\" is missing.") }
        wrap(before, after)
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
