// What Replace and Split look for: a literal or a regular expression.

internal import RegularExpressions

/// A pattern of a normalizer or pre-tokenizer, spelt `{"String": ...}` or `{"Regex": ...}` in the file.
enum Pattern: Sendable {
    /// Never empty.
    case literal([UInt8])
    case regularExpression(RegularExpression)

    init(_ node: JSONNode) throws(TokenizerError) {
        try node.allowOnly(["String", "Regex"])
        if let literal = try node.optional("String") {
            let bytes = try literal.text()
            guard !bytes.isEmpty else { throw literal.error("an empty pattern is not supported.") }
            self = .literal(bytes)
        } else if let regex = try node.optional("Regex") {
            self = .regularExpression(try Self.compile(try regex.text(), at: regex))
        } else {
            throw node.error("expected {\"String\": ...} or {\"Regex\": ...}.")
        }
    }

    static func compile(_ pattern: [UInt8], at node: JSONNode) throws(TokenizerError) -> RegularExpression {
        do {
            return try RegularExpression(pattern)
        } catch {
            throw node.error(
                "the regular expression \"\(String(decoding: pattern, as: UTF8.self))\" does not compile: \(error.message).")
        }
    }

    /// The matches from left to right, not overlapping.
    func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void
    ) throws(RegularExpression.Failure) {
        switch self {
        case .regularExpression(let expression): try expression.forEachMatch(in: text, body)
        case .literal(let literal): Self.forEachMatch(of: literal, in: text, body)
        }
    }

    private static func forEachMatch(of literal: [UInt8], in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
        literal.withUnsafeBufferPointer { literal in
            let last = text.count - literal.count
            var position = 0
            while position <= last {
                if text[position] == literal[0], text[position..<(position + literal.count)].elementsEqual(literal) {
                    body(position..<(position + literal.count))
                    position += literal.count
                } else {
                    position += 1
                }
            }
        }
    }
}
