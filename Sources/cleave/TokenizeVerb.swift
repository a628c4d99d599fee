// cleave tokenize: a text as token ids in a NumPy file, for calibration from ready-made ids and for comparisons.

import ArgumentParser
import Foundation
import MessagePassing
import Pipeline
import Reporting
import Safetensors
import Tokenizers

struct TokenizeVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turn a text into token ids, written as a NumPy file of int32.")

    @Argument(help: "A tokenizer.json, or a model directory that holds one.", completion: .file())
    var tokenizer: String

    @Argument(help: "A text file (UTF-8).", completion: .file())
    var text: String

    @Option(help: "The .npy file to write.", completion: .file())
    var output: String

    @Flag(help: "Add the tokens that the tokenizer's post-processor puts around a text.")
    var specialTokens = false

    @OptionGroup var common: CommonOptions

    func run(_ world: Communicator) throws {
        let count = try world.fromCoordinator(exitCode: Pipeline.exitCode) { () throws -> Int in
            var isDirectory: ObjCBool = false
            let isModel = FileManager.default.fileExists(atPath: tokenizer, isDirectory: &isDirectory) && isDirectory.boolValue
            guard let data = FileManager.default.contents(atPath: text) else { throw PipelineError(.missingInput, "cannot read \(text)") }
            guard let string = String(validating: data, as: UTF8.self) else { throw PipelineError(.badInput, "\(text) is not valid UTF-8") }
            let ids = try Tokenizer(path: isModel ? tokenizer + "/tokenizer.json" : tokenizer).encode(string, addSpecialTokens: specialTokens)
            try NumpyArray.write(ids, to: output)
            return ids.count
        }
        guard world.isCoordinator else { return }
        Console.output(common.json ? try jsonLine(["tokens": count]) : "\(count) tokens in \(output)\n")
    }
}
