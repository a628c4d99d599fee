// A recipe that cannot be followed, with the line to mend.

/// What is wrong in a recipe, where, and what would be right.
public struct RecipeError: Error, CustomStringConvertible {
    /// `FILE:LINE`, the file alone, or the option of the command line.
    public let place: String
    public let message: String

    public var description: String { "\(place): \(message)" }
}
