// cleave eval: the perplexity of a model, dense or compressed, over ranks.

import ArgumentParser
import LinearAlgebra
import MessagePassing
import Pipeline
import Reporting
import Transformers

struct EvalVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Measure the perplexity of a model directory (dense, or compressed in any format that Cleave writes) on a text.")

    @Argument(help: "A Hugging Face model directory.", completion: .directory)
    var directory: String

    @Option(help: "Text (.txt, .jsonl with a field `text`) or ids (.npy, .safetensors).", completion: .file())
    var data: String

    @Option(help: "Tokens of a window; windows do not overlap.")
    var length = 2048

    @Option(help: "Windows from the start of the data (default: all whole ones).")
    var sequences: Int?

    @Option(help: "Type of the operands of matrix products: f32 or bf16.")
    var compute: Compute = .f32

    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard length >= 2 else { throw ValidationError("--length must be at least 2, found \(length)") }
        if let sequences, sequences < 1 { throw ValidationError("--sequences must be at least 1, found \(sequences)") }
    }

    func run(_ world: Communicator) throws {
        // An evaluation has no plan that says how much: about what the windows of a rank and a stage take.
        MemoryPool.keepMatrices(upTo: 1 << 30)
        let model = try Model(path: directory, reading: weights.reading, world: world)
        let windows = try world.fromCoordinator(exitCode: Pipeline.exitCode) {
            try TokenSequences.windows(
                source: data, length: length, count: sequences, tokenizer: directory + "/tokenizer.json",
                vocabularySize: model.architecture.vocabularySize)
        }
        let clock = PhaseClock()
        let result = try evaluate(model, windows, compute: compute, world: world, clock: clock)
        guard world.isCoordinator else { return }
        if common.json {
            Console.output(try jsonLine(result))
        } else {
            Console.error(
                "\(result.windows) windows of \(result.length) tokens, compute \(compute.effective.rawValue), "
                    + "\(formatSeconds(clock.seconds[.evaluate] ?? 0)) on rank 0 of \(world.size)\n")
            Console.output("perplexity \(format(result.perplexity, digits: 4)) over \(result.tokens) tokens\n")
        }
    }
}

extension Compute: ExpressibleByArgument {}
