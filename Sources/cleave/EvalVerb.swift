// cleave eval: the perplexity of a model, dense or compressed, over ranks.

import ArgumentParser
import Calibration
import Checkpoints
import Failures
import LinearAlgebra
import MessagePassing
import Models
import Pages
import Reporting
import Runs
import Safetensors
import Texts
import Transformers

struct EvalVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Measure the perplexity of a model directory (dense, or compressed in any format that Cleave writes) on a text.")

    @Argument(help: "A Hugging Face model directory.", completion: .directory)
    var directory: String

    @OptionGroup var text: TextOptions

    @Option(help: "Tokens of a window; windows do not overlap.")
    var length = 2048

    @Option(help: "Windows from the start of the data (default: all whole ones).")
    var sequences: Int?

    @Option(
        help: "A model directory, such as the source: how far the predictions are from its own is measured, too (mean KL divergence, same most likely tokens).",
        completion: .directory)
    var reference: String?

    @Flag(help: "Keep what is measured with the result: in DIR/cleave/evaluations.jsonl and on its page.")
    var save = false

    @Option(help: "Type of the operands of matrix products: f32 or bf16.")
    var compute: Compute = .f32

    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    func validate() throws { try SequenceOptions.check(length: length, sequences: sequences) }

    func run(_ world: Communicator) throws {
        let work = WorkDirectory(output: directory)
        if save { try world.onCoordinator(exitCode: Failures.exitCode) { _ = try runStatus(of: directory) } }
        // An evaluation has no plan that says how much: about what the windows of a rank and a stage take.
        MemoryPool.keepMatrices(upTo: 1 << 30)
        let model = try Model(path: directory, reading: weights.reading, world: world)
        let other = try referenceModel(for: model, world)
        let models = [model, other].compactMap { $0 }
        let remarks = try models.flatMap { try $0.remarks + $0.checkLength(length, key: "--length") }
        if world.isCoordinator { for remark in remarks { Console.error("note: \(remark)\n") } }
        let windows = try world.fromCoordinator(exitCode: Failures.exitCode) {
            try TokenSequences.windows(
                source: text.data, field: text.field, length: length, count: sequences, tokenizer: directory + "/tokenizer.json",
                vocabularySize: model.architecture.vocabularySize)
        }
        try world.together(exitCode: Failures.exitCode) {
            let mapped = models.reduce(0) { $0 + $1.mappedBytes }
            try AddressSpace.require([("\(Threads.count) threads", Threads.count * AddressSpace.bytesOfThread), ("the mapped weights", mapped)])
        }
        for model in models { try model.checkNumbers(world: world) }
        let clock = PhaseClock()
        let result = try evaluate(model, windows, compute: compute, reference: other, world: world, clock: clock)
        try checkComparison(result)
        if save {
            try world.onCoordinator(exitCode: Failures.exitCode) {
                try SavedEvaluation(data: text.data, compute: compute.effective.rawValue, reference: reference, result: result).save(work)
                try AtomicFile.write(Page([RunAccount(of: directory)]).html(), to: work.page)
            }
        }
        guard world.isCoordinator else { return try check(result) }
        if common.json {
            Console.output(try jsonLine(result))
        } else {
            Console.error(
                "\(result.windows) windows of \(result.length) tokens, compute \(compute.effective.rawValue), "
                    + "\(formatSeconds(clock.seconds[.evaluate] ?? 0)) on rank 0 of \(world.size)\n")
            Console.output("perplexity \(format(result.perplexity, digits: 4)) over \(result.tokens) tokens\n")
            if let comparison = result.comparison {
                Console.output(
                    "KL divergence \(format(comparison.divergence, digits: 5)) nats a token from the predictions of \(reference ?? ""), "
                        + "the same most likely token after \(format(100 * comparison.sameChoices, digits: 2)) %\n")
            }
        }
        try check(result)
    }

    private func referenceModel(for model: Model, _ world: Communicator) throws -> Model? {
        guard let reference else { return nil }
        let found = try Model(path: reference, reading: weights.reading, world: world)
        guard found.architecture.vocabularySize == model.architecture.vocabularySize else {
            throw AgreedFailure(
                rank: 0, exitCode: 65,
                description: "\(reference) has a vocabulary of \(found.architecture.vocabularySize) tokens and \(directory) one of "
                    + "\(model.architecture.vocabularySize): their predictions cannot be compared")
        }
        return found
    }

    private func checkComparison(_ result: EvaluationReport) throws {
        guard let reference, let comparison = result.comparison, !comparison.divergence.isFinite else { return }
        throw AgreedFailure(
            rank: 0, exitCode: 65,
            description: "the predictions of \(reference) on this text are no numbers: its activations overflow, nothing can be compared with them")
    }

    private func check(_ result: EvaluationReport) throws {
        guard let notFinite = result.notFinite else { return }
        throw AgreedFailure(
            rank: 0, exitCode: 65,
            description: "the perplexity of \(directory) is \(notFinite): its activations overflow on this text, or its predictions are beyond all bounds")
    }
}

extension Compute: ExpressibleByArgument {}
