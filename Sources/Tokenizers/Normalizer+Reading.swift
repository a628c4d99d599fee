// Reading the `normalizer` of a tokenizer.json.

extension Normalizer {
    init(_ node: JSONNode?) throws(TokenizerError) {
        steps = try node.map(Self.steps) ?? []
    }

    private static func steps(_ node: JSONNode) throws(TokenizerError) -> [Step] {
        let type = try node.type()
        switch type {
        case "Sequence":
            try node.allowOnly(["type", "normalizers"])
            var steps: [Step] = []
            for element in try node.required("normalizers").elements() { steps += try Self.steps(element) }
            return steps
        case "Prepend":
            try node.allowOnly(["type", "prepend"])
            return [.prepend(try node.required("prepend").text())]
        case "Replace":
            try node.allowOnly(["type", "pattern", "content"])
            return [.replace(try Pattern(try node.required("pattern")), with: try node.required("content").text())]
        case "Lowercase":
            try node.allowOnly(["type"])
            return [.lowercase]
        case "Strip":
            try node.allowOnly(["type", "strip_left", "strip_right"])
            return [.strip(left: try node.required("strip_left").bool(), right: try node.required("strip_right").bool())]
        default:
            guard let form = UnicodeForm(rawValue: type) else {
                throw node.unsupported(
                    type: type, supported: "NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, Sequence")
            }
            try node.allowOnly(["type"])
            return [.unicode(form)]
        }
    }
}
