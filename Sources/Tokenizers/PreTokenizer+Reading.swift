// Reading the `pre_tokenizer` of a tokenizer.json.

extension PreTokenizer {
    /// The expression of `ByteLevel` with `use_regex`, as published with GPT-2 (openai/gpt-2, src/encoder.py).
    private static let gpt2Expression = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// - Parameter normalizer: decides whether the first piece is well defined, which Metaspace may ask for.
    init(_ node: JSONNode?, after normalizer: Normalizer) throws(TokenizerError) {
        var reader = Reader(normalizer: normalizer)
        if let node { try reader.read(node) }
        steps = reader.steps
        alphabet = reader.alphabet
    }

    private struct Reader {
        let normalizer: Normalizer
        var steps: [Step] = []
        var alphabet = Alphabet.characters

        mutating func read(_ node: JSONNode) throws(TokenizerError) {
            let type = try node.type()
            guard alphabet == .characters else {
                throw node.error("a \(type) after ByteLevel is not supported: ByteLevel must come last.")
            }
            switch type {
            case "Sequence":
                try node.allowOnly(["type", "pretokenizers"])
                for element in try node.required("pretokenizers").elements() { try read(element) }
            case "ByteLevel": try readByteLevel(node)
            case "Split": try readSplit(node)
            case "Digits":
                try node.allowOnly(["type", "individual_digits"])
                steps.append(.digits(individual: try node.required("individual_digits").bool()))
            case "Metaspace": try readMetaspace(node)
            default:
                throw node.unsupported(type: type, supported: "ByteLevel, Split, Digits, Metaspace, Sequence")
            }
        }

        private mutating func readByteLevel(_ node: JSONNode) throws(TokenizerError) {
            // trim_offsets concerns character offsets, which this room does not produce.
            try node.allowOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
            if try node.required("add_prefix_space").bool() { steps.append(.prepend([UInt8(ascii: " ")], onlyFirst: false)) }
            if try node.bool("use_regex", default: true) {
                let expression = try Pattern.compile(Array(gpt2Expression.utf8), at: node)
                steps.append(.split(.regularExpression(expression), .isolated, inverted: false))
            }
            alphabet = .bytes
        }

        private mutating func readSplit(_ node: JSONNode) throws(TokenizerError) {
            try node.allowOnly(["type", "pattern", "behavior", "invert"])
            steps.append(
                .split(
                    try Pattern(try node.required("pattern")), try SplitBehavior(try node.required("behavior")),
                    inverted: try node.required("invert").bool()))
        }

        private mutating func readMetaspace(_ node: JSONNode) throws(TokenizerError) {
            try node.allowOnly(["type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"])
            let replacement = try node.required("replacement")
            let mark = try replacement.text()
            guard try replacement.string().unicodeScalars.count == 1 else {
                throw replacement.error("expected a single character.")
            }
            let scheme = try prependScheme(node)
            steps.append(.replaceSpaces(mark))
            if scheme != "never" { steps.append(.prepend(mark, onlyFirst: scheme == "first")) }
            if try node.bool("split", default: true) {
                steps.append(.split(.literal(mark), .mergedWithNext, inverted: false))
            }
        }

        /// "always", "first" or "never". Older files say `add_prefix_space` as well, which must agree.
        private func prependScheme(_ node: JSONNode) throws(TokenizerError) -> String {
            let scheme = try node.optional("prepend_scheme") ?? node
            let name = try node.optional("prepend_scheme")?.string() ?? "always"
            guard ["always", "first", "never"].contains(name) else {
                throw scheme.unsupported(type: name, supported: "always, first, never")
            }
            guard try node.bool("add_prefix_space", default: true) || name == "never" else {
                throw node.error("add_prefix_space is false, which contradicts the prepend_scheme \"\(name)\".")
            }
            guard name != "first" || (steps.isEmpty && normalizer.keepsStart) else {
                throw scheme.error(
                    "\"first\" is supported only where Metaspace is the first pre-tokenizer and the normalizer keeps the "
                        + "beginning of the text (not Prepend, Replace or Strip).")
            }
            return name
        }
    }
}
