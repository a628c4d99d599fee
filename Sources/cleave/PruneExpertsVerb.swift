// cleave prune-experts: a mixture with fewer experts, as a model to serve or to compress.

import ArgumentParser
import LinearAlgebra
import MessagePassing
import Recipes
import Reporting
import Runs
import Safetensors
import Transformers

struct PruneExpertsVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "prune-experts", abstract: "Take experts out of a mixture: those that add the least to what passes them on a text (REAP).",
        discussion: """
            The result is an ordinary model of the same family with fewer experts in every block: routers have the rows of those that are kept, config.json has their \
            number, and all other tensors are the source's byte for byte, in whatever form it stores them. Compress it as any model. Blocks that predict further \
            tokens are left out.
            """)

    @Argument(help: "The model directory of a mixture of experts.", completion: .directory)
    var directory: String

    @Option(help: ArgumentHelp("The share of each block's experts that is kept, above 0 and below 1.", valueName: "share"))
    var keep: Double

    @OptionGroup var text: TextOptions

    @Option(help: "Sequences of the text.")
    var sequences = 128

    @Option(help: "Tokens of a sequence.")
    var length = 2048

    @Option(help: "Of the places in the text from which sequences are drawn.")
    var seed: UInt64 = 0

    @Option(help: "Type of the operands of matrix products: f32 or bf16.")
    var compute: Compute = .bf16

    @Option(help: "The directory of the result.", completion: .directory)
    var output: String

    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard keep > 0, keep < 1 else { throw ValidationError("--keep must be above 0 and below 1, found \(keep)") }
        try SequenceOptions.check(length: length, sequences: sequences)
    }

    func run(_ world: Communicator) throws {
        // As in an evaluation: about what the sequences of a rank and a stage take.
        MemoryPool.keepMatrices(upTo: 1 << 30)
        let calibration = Calibration(
            sources: [CalibrationSource(path: text.data, field: text.field)], sequences: sequences, length: length, skip: 0, sampling: nil, seed: seed,
            batch: nil)
        let pruning = try ExpertPruning(directory, keeping: keep, by: calibration, compute: compute, output: output, reading: weights.reading, world: world)
        if world.isCoordinator { for remark in pruning.remarks { Console.error("note: \(remark)\n") } }
        let report = try pruning.run(clock: PhaseClock()) { block, count in
            if world.isCoordinator { Console.error("block \(block + 1)/\(count) scored\n") }
        }
        _ = try verifyMerged(output, world)
        guard world.isCoordinator else { return }
        Console.output(
            common.json
                ? try jsonLine(report)
                : "kept \(report.keptExperts) of \(report.experts) experts in each of \(report.blocks.count) blocks and verified \(output): "
                    + "\(formatBytes(report.bytes)) in \(report.files) files\n")
    }
}
