// Patterns on the names of linears: globs, or regular expressions after `re:`.

/// A glob (`*` any run of characters, `?` one character), or a regular expression when written `re:...`; both match whole names.
public struct Pattern: Sendable, Equatable {
    public let text: String
    /// nil for a glob.
    private let expression: String?

    /// - Throws: the reason why `text` is no valid pattern.
    public init(_ text: String) throws(PatternError) {
        self.text = text
        expression = text.hasPrefix("re:") ? String(text.dropFirst(3)) : nil
        guard let expression else { return }
        do {
            _ = try Regex(expression)
        } catch {
            throw PatternError(text: text, reason: String(describing: error))
        }
    }

    public func matches(_ name: String) -> Bool {
        guard let expression else { return Self.glob(Array(text), matches: Array(name)) }
        // `Regex` is not Sendable, so it is made anew; names are matched once, when the plan is made.
        guard let regex = try? Regex(expression) else { return false }
        return name.wholeMatch(of: regex) != nil
    }

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

/// A pattern that cannot be read.
public struct PatternError: Error, CustomStringConvertible {
    let text: String
    let reason: String

    public var description: String { "`\(text)` is not a valid pattern: \(reason)" }
}
