// Sizes and patterns.

import Recipes
import Testing

@Suite struct TextTests {
    @Test(arguments: [
        ("1", 1), ("5GB", 5_000_000_000), ("5 gb", 5_000_000_000), ("512MiB", 512 << 20), ("1.5kB", 1500), ("2TiB", 2 << 40), ("100b", 100), ("1e6", 1_000_000),
    ])
    func sizes(text: String, bytes: Int) {
        #expect(parseByteCount(text) == bytes)
    }

    @Test(arguments: ["", "GB", "0", "0.5", "-5GB", "5XB", "five", "nan", "inf", "1e30", "9999999999TB", "5GBGB"])
    func noSizes(text: String) {
        #expect(parseByteCount(text) == nil)
    }

    @Test(arguments: [
        ("*", "a.b", true), ("*.q_proj", "layers.0.q_proj", true), ("*.q_proj", "layers.0.q_proj.x", false), ("a.b", "axb", false), ("a?b", "axb", true),
        ("a?b", "ab", false), ("a+(b)[c]", "a+(b)[c]", true), ("a-b_c", "a-b_c", true), ("", "", true),
        ("re:layers\\.[0-3]\\..*", "layers.2.up", true), ("re:layers\\.[0-3]\\..*", "layers.4.up", false), ("re:up", "layers.up", false),
        ("re:a|b", "b", true), ("re:a|ab", "ab", true), ("re:a|ab", "aba", false), ("re:", "", true), ("re:", "a", false),
        ("re:.*\\.(?:q|k)_proj", "layers.0.k_proj", true), ("re:UP", "up", false), ("re:(?i)UP", "up", true), ("*a*a*", "xaxxax", true),
        ("é*", "éa", true), ("{a,b}^$\\", "{a,b}^$\\", true),
    ])
    func patternsMatchWholeNames(pattern: String, name: String, matches: Bool) throws {
        #expect(try Pattern(pattern).matches(name) == matches)
    }

    /// As a regular expression this glob would try every way of sharing the name among its stars.
    @Test func aGlobOfManyStarsEnds() throws {
        let name = String(repeating: "a", count: 200)
        #expect(try !Pattern(String(repeating: "*a", count: 60) + "*b").matches(name))
        #expect(try Pattern(String(repeating: "*a", count: 60) + "*").matches(name))
    }

    /// Each tries every way of sharing a run of letters among its repetitions.
    @Test(.timeLimit(.minutes(1)), arguments: ["re:(a+)+$", "re:(?:a|a|aa)+", "re:(.*)*[x]"])
    func aHostileExpressionEndsInAnError(pattern: String) throws {
        let name = String(repeating: "a", count: 200) + "."
        let error = #expect(throws: PatternError.self) { try Pattern(pattern).matches(name) }
        #expect(error?.description.contains("`\(pattern)` takes too long to compare with `\(name)`") == true)
        #expect(error?.description.hasSuffix("take out repetitions inside repetitions, such as `(a+)+`, or write a glob") == true)
    }

    /// Closing a group that was never opened does not lead out of the comparison with the whole name.
    @Test(arguments: ["re:(", "re:[a", "re:*", "re:a)|(?:b"])
    func patternsThatCannotBeRead(pattern: String) {
        let error = #expect(throws: PatternError.self) { try Pattern(pattern) }
        #expect(error?.description.hasPrefix("`\(pattern)` is not a valid pattern: ") == true)
    }
}
