// What can be wrong with a pattern on the names of linears.

/// A pattern that cannot be used.
public enum PatternError: Error, CustomStringConvertible, Sendable {
    /// It cannot be read.
    case invalid(pattern: String, reason: String)
    /// Whether it matches a name would take too long to find out.
    case unmatchable(pattern: String, name: String, reason: String)

    public var description: String {
        switch self {
        case .invalid(let pattern, let reason): "`\(pattern)` is not a valid pattern: \(reason)"
        case .unmatchable(let pattern, let name, let reason):
            "`\(pattern)` takes too long to compare with `\(name)` (\(reason)): take out repetitions inside repetitions, such as `(a+)+`, or write a glob"
        }
    }
}
