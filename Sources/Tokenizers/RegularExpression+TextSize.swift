// How far replacements may make a text grow.

internal import RegularExpressions

extension RegularExpression.Failure {
    /// A replacement, repeated, makes far more text than it was given.
    static func tooLarge(_ limit: Int) -> Self {
        Self(message: "the text grows beyond \(limit) bytes")
    }
}
