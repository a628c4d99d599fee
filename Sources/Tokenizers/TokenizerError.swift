// The one error of this room: a sentence that says in which file, at which place, what is wrong.

/// Why a `tokenizer.json` was refused, or a text could not be encoded with it.
public struct TokenizerError: Error, CustomStringConvertible, Equatable, Sendable {
    /// The file (or the name given for it) that the tokenizer comes from.
    public let file: String
    /// Where in the file: a path of keys such as `pre_tokenizer.pretokenizers[1]`, a line, or "" for the whole file.
    public let place: String
    /// The file is not there or cannot be opened.
    public let isMissingFile: Bool
    /// What is wrong there, what was expected, and what to do.
    public let problem: String

    init(file: String, place: String, problem: String, isMissingFile: Bool = false) {
        self.file = file
        self.place = place
        self.problem = problem
        self.isMissingFile = isMissingFile
    }

    public var description: String {
        place.isEmpty ? "\(file): \(problem)" : "\(file): \(place): \(problem)"
    }
}
