// The text that a verb takes, and how it is cut into sequences.

import ArgumentParser
import Sharding

/// What a text is read by.
struct TextOptions: ParsableArguments {
    @Option(help: "Text, JSON lines or a JSON array, a Parquet table, or ids (.npy, .safetensors).", completion: .file())
    var data: String

    @Option(help: "The field of JSON records, or the column of a table, that holds the text (default: text).")
    var field: String?
}

/// Checks of numbers of sequences and of their tokens.
enum SequenceOptions {
    /// - Throws: `ValidationError` for numbers beyond use.
    static func check(length: Int, sequences: Int?) throws {
        let most = PlanLimits.sequences
        guard (2...most).contains(length) else { throw ValidationError("--length must be from 2 to \(most), found \(length)") }
        if let sequences, !(1...most).contains(sequences) { throw ValidationError("--sequences must be from 1 to \(most), found \(sequences)") }
    }
}
