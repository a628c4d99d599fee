// cleave eval: the perplexity of a model, dense or compressed, over ranks.

import ArgumentParser
import LinearAlgebra
import MessagePassing
import Pipeline
import Reporting
import Sharding
import Transformers

struct EvalVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Measure the perplexity of a model directory (dense, or compressed in any format that Cleave writes) on a text.")

    @Argument(help: "A Hugging Face model directory.", completion: .directory)
    var directory: String

    @Option(help: "Text, JSON lines or a JSON array with a field `text`, or ids (.npy, .safetensors).", completion: .file())
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
        let most = PlanLimits.sequences
        guard (2...most).contains(length) else { throw ValidationError("--length must be from 2 to \(most), found \(length)") }
        if let sequences, !(1...most).contains(sequences) { throw ValidationError("--sequences must be from 1 to \(most), found \(sequences)") }
    }

    func run(_ world: Communicator) throws {
        // An evaluation has no plan that says how much: about what the windows of a rank and a stage take.
        MemoryPool.keepMatrices(upTo: 1 << 30)
        let model = try Model(path: directory, reading: weights.reading, world: world)
        let remarks = try model.remarks + model.checkLength(length, key: "--length")
        if world.isCoordinator { for remark in remarks { Console.error("note: \(remark)\n") } }
        let windows = try world.fromCoordinator(exitCode: Pipeline.exitCode) {
            try TokenSequences.windows(
                source: data, length: length, count: sequences, tokenizer: directory + "/tokenizer.json",
                vocabularySize: model.architecture.vocabularySize)
        }
        try world.together(exitCode: Pipeline.exitCode) {
            try AddressSpace.require([("\(Threads.count) threads", Threads.count * AddressSpace.bytesOfThread), ("the mapped weights", model.mappedBytes)])
        }
        try model.checkNumbers(world: world)
        let clock = PhaseClock()
        let result = try evaluate(model, windows, compute: compute, world: world, clock: clock)
        guard world.isCoordinator else { return try check(result) }
        if common.json {
            Console.output(try jsonLine(result))
        } else {
            Console.error(
                "\(result.windows) windows of \(result.length) tokens, compute \(compute.effective.rawValue), "
                    + "\(formatSeconds(clock.seconds[.evaluate] ?? 0)) on rank 0 of \(world.size)\n")
            Console.output("perplexity \(format(result.perplexity, digits: 4)) over \(result.tokens) tokens\n")
        }
        try check(result)
    }

    private func check(_ result: EvaluationReport) throws {
        guard let notFinite = result.notFinite else { return }
        throw AgreedFailure(
            rank: 0, exitCode: 65,
            description: "the perplexity of \(directory) is \(notFinite): its activations overflow on this text, or its predictions are beyond all bounds")
    }
}

extension Compute: ExpressibleByArgument {}
