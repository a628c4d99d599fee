// Matches and limits of regular expressions.

import RegularExpressions
import Testing

@Suite struct RegularExpressionTests {
    private func matches(_ pattern: String, _ text: String) throws -> [String] {
        let expression = try RegularExpression(Array(pattern.utf8))
        let bytes = Array(text.utf8)
        var found: [String] = []
        try bytes.withUnsafeBufferPointer { buffer in
            try expression.forEachMatch(in: buffer) { found.append(String(decoding: bytes[$0], as: UTF8.self)) }
        }
        return found
    }

    @Test func matchesComeFromLeftToRight() throws {
        #expect(try matches("[a-z]+|\\d", "ab12 c") == ["ab", "1", "2", "c"])
        #expect(try matches("x", "ab").isEmpty && matches("x", "").isEmpty)
    }

    /// An empty match after a match is passed over, and the search goes on at the next scalar.
    @Test func emptyMatches() throws {
        #expect(try matches("b*", "abé€c") == ["", "b", "", "", ""])
    }

    @Test func theStartOfAText() throws {
        let expression = try RegularExpression(Array("a|bc".utf8))
        #expect(try expression.matchesStart(of: "ab", retries: 100) && expression.matchesStart(of: "bc", retries: 100))
        #expect(try !expression.matchesStart(of: "cbc", retries: 100) && !expression.matchesStart(of: "", retries: 100))
        #expect(try RegularExpression([]).matchesStart(of: "", retries: 100))
    }

    @Test(.timeLimit(.minutes(1))) func retriesHaveALimit() throws {
        let expression = try RegularExpression(Array("(?:a|a|aa)+$b".utf8))
        let error = #expect(throws: RegularExpression.Failure.self) {
            try expression.matchesStart(of: String(repeating: "a", count: 100), retries: 100_000)
        }
        #expect(error?.message.contains("retry-limit") == true)
    }

    @Test(arguments: [("(", "end pattern with unmatched parenthesis"), ("[a", "premature end of char-class"), ("*", "target of repeat operator")])
    func patternsThatDoNotCompile(pattern: String, message: String) {
        let error = #expect(throws: RegularExpression.Failure.self) { try RegularExpression(Array(pattern.utf8)) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
}
