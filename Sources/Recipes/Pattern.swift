// Patterns on the names of linears: globs, or regular expressions after `re:`.

/// A glob (`*` any run of characters, `?` one character), or a regular expression when written `re:...`; both match whole names.
public struct Pattern: Sendable, Equatable {
    public let text: String
    private let expression: String

    /// - Throws: the reason why `text` is no valid pattern.
    public init(_ text: String) throws(PatternError) {
        self.text = text
        expression = text.hasPrefix("re:") ? String(text.dropFirst(3)) : Self.expression(ofGlob: text)
        do {
            _ = try Regex(expression)
        } catch {
            throw PatternError(text: text, reason: String(describing: error))
        }
    }

    public func matches(_ name: String) -> Bool {
        // `Regex` is not Sendable, so it is made anew; names are matched once, when the plan is made.
        guard let regex = try? Regex(expression) else { return false }
        return name.wholeMatch(of: regex) != nil
    }

    private static func expression(ofGlob glob: String) -> String {
        glob.map { character in
            switch character {
            case "*": ".*"
            case "?": "."
            case _ where character.isLetter || character.isNumber || character == "_": String(character)
            default: "\\\(character)"
            }
        }.joined()
    }
}

/// A pattern that cannot be read.
public struct PatternError: Error, CustomStringConvertible {
    let text: String
    let reason: String

    public var description: String { "`\(text)` is not a valid pattern: \(reason)" }
}
