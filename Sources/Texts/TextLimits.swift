// How long a text may be, and how lines end.

internal import Failures

enum TextLimits {
    static let newline = UInt8(ascii: "\n")
    /// Bytes of one text, which is held in memory: the tokenizer takes no larger ones.
    static let largest = 1 << 30

    /// - Parameter what: the text that is too long, as a part of the file.
    static func error(_ path: String, _ what: String) -> PipelineError {
        PipelineError(.badInput, "\(path) has \(what) of more than 1 GiB; cut it into documents, as JSON lines with a field `text` each")
    }
}
