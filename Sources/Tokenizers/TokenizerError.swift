// The one error of this room: a sentence that says in which file, at which place, what is wrong.

/// Why a `tokenizer.json` was refused, or a text could not be encoded with it.
public struct TokenizerError: Error, CustomStringConvertible, Equatable, Sendable {
    /// The file (or the name given for it) that the tokenizer comes from.
    public let file: String
    /// Where in the file: a path of keys such as `pre_tokenizer.pretokenizers[1]`, a line, or "" for the whole file.
    public let place: String
    /// What is wrong there, what was expected, and what to do.
    public let problem: String

    init(file: String, place: String, problem: String) {
        self.file = file
        self.place = place
        self.problem = problem
    }

    public var description: String {
        place.isEmpty ? "\(file): \(problem)" : "\(file): \(place): \(problem)"
    }
}
