// cleave tokenize: a text as token ids in a NumPy file, for calibration from ready-made ids and for comparisons.

import ArgumentParser
import Checkpoints
import Failures
import MessagePassing
import Reporting
import Safetensors
import Texts

struct TokenizeVerb: Verb {
    static let ranks = VerbRanks.first

    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turn a text into token ids, written as a NumPy file of int32.")

    @Argument(help: "A tokenizer.json, or a model directory that holds one.", completion: .file())
    var tokenizer: String

    @Argument(
        help: "Text (UTF-8), or documents with a field `text` each: JSON lines, a JSON array, a Parquet table; also compressed (.gz, .zst).",
        completion: .file())
    var text: String

    @Option(help: "The .npy file to write.", completion: .file())
    var output: String

    @Option(help: "The field of documents, or the column of a table, that holds the text (default: text).")
    var field: String?

    @Flag(help: "Add the tokens that the tokenizer's post-processor puts around each document.")
    var specialTokens = false

    @OptionGroup var common: CommonOptions

    func run(_ world: Communicator) throws {
        let count = try world.fromCoordinator(exitCode: Failures.exitCode) { () throws -> Int in
            for input in [text, tokenizer, tokenizer + "/tokenizer.json"] where OutputPlace.isSame(output, input) {
                throw PipelineError(.cannotWrite, "--output \(output) would replace \(input), which is read; give another file")
            }
            let ids = try tokenIDs(ofText: text, field: field, tokenizer: tokenizer, addSpecialTokens: specialTokens)
            try NumpyArray.write(count: ids.count, to: output) { try ids[$0] }
            return ids.count
        }
        guard world.isCoordinator else { return }
        Console.output(common.json ? try jsonLine(["tokens": count]) : "\(count) tokens in \(output)\n")
    }
}
