// Patterns on the names of linears: globs, or regular expressions after `re:`.

internal import RegularExpressions

/// A glob (`*` any run of characters, `?` one character), or a regular expression when written `re:...`; both match whole names.
public struct Pattern: Sendable, Equatable {
    public let text: String
    /// nil for a glob.
    private let expression: RegularExpression?

    /// Far beyond what names need, and done in well under a second.
    private static let retries: UInt = 1_000_000

    /// - Throws: the reason why `text` is no valid pattern.
    public init(_ text: String) throws(PatternError) {
        self.text = text
        guard text.hasPrefix("re:") else {
            expression = nil
            return
        }
        let expression = text.dropFirst(3)
        do {
            // By itself first: what closes a group that is not its own would change the meaning of the whole.
            _ = try RegularExpression(Array(expression.utf8))
            self.expression = try RegularExpression(Array("(?:\(expression))\\z".utf8))
        } catch {
            throw .invalid(pattern: text, reason: error.message)
        }
    }

    /// - Throws: `PatternError.unmatchable` for a regular expression that would take too long.
    public func matches(_ name: String) throws(PatternError) -> Bool {
        guard let expression else { return Self.glob(Array(text), matches: Array(name)) }
        do {
            return try expression.matchesStart(of: name, retries: Self.retries)
        } catch {
            throw .unmatchable(pattern: text, name: name, reason: error.message)
        }
    }

    public static func == (a: Pattern, b: Pattern) -> Bool { a.text == b.text }

    /// In time of at most the product of the lengths: only the last `*` passed ever has to take more.
    private static func glob(_ pattern: [Character], matches name: [Character]) -> Bool {
        var (place, position) = (0, 0)
        var star: (place: Int, position: Int)?
        while position < name.count {
            if place < pattern.count, pattern[place] == "*" {
                place += 1
                star = (place, position)
            } else if place < pattern.count, pattern[place] == "?" || pattern[place] == name[position] {
                place += 1
                position += 1
            } else if let last = star {
                (place, position) = (last.place, last.position + 1)
                star = (place, position)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == "*" }
    }
}
