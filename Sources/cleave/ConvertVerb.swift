// cleave convert: a compressed checkpoint in another format, with the same codes, or any checkpoint as another dense model of the same function.

import ArgumentParser
import Checkpoints
import MessagePassing
import Recipes
import Reporting
import Safetensors
import Transformers

struct ConvertVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write a compressed checkpoint in another format, codes, scales and zero points staying exactly what they are.",
        discussion: """
            Between compressed-tensors, gptq, gptq_v2 and marlin, as far as the format can carry each linear, and from each of them to dense. What would \
            change a number is refused (exit code 65): a zero point of 0 in gptq, or scales of one 16-bit type that are none of the other. With --rotate, \
            --equalize or both any model, dense too, is written as a dense model of the same function: what a recipe with these keys compresses.
            """)

    @Argument(help: "The compressed checkpoint.", completion: .directory)
    var directory: String

    @Option(help: "The format of the result.")
    var format: OutputFormat

    @Option(help: "The directory of the result.", completion: .directory)
    var output: String

    @Option(help: ArgumentHelp("Fold norms and rotate the residual stream in blocks of so many elements, and values of heads.", valueName: "block"))
    var rotate: Int?

    @Flag(help: "Scale the columns of linears to one size, and what makes their inputs the other way.")
    var equalize = false

    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    func run(_ world: Communicator) throws {
        let equivalence = Equivalence(rotation: rotate.map { WeightRotation(block: .exactly($0)) }, equalizes: equalize)
        let conversion = try Conversion(directory, to: format, equivalence: equivalence, output: output, reading: weights.reading, world: world)
        if world.isCoordinator { for remark in conversion.remarks { Console.error("note: \(remark)\n") } }
        let report = try conversion.run()
        let result = try verify(output, world: world)
        guard result.problems.isEmpty else {
            throw AgreedFailure(rank: 0, exitCode: 74, description: "the result is damaged:\n  " + result.problems.joined(separator: "\n  "))
        }
        guard world.isCoordinator else { return }
        Console.output(
            common.json
                ? try jsonLine(report)
                : "\(done(report)) and verified \(output): \(formatBytes(report.bytes)) in \(report.files) files\n"
        )
    }

    private func done(_ report: ConversionReport) -> String {
        let rotated = report.rotationBlock.map { "rotated \(directory) in blocks of \($0)" }
        let scaled = report.equalizedChannels.map { "scaled \($0) groups of channels" + (rotated == nil ? " of \(directory)" : "") }
        let done = [rotated, scaled].compactMap { $0 }.joined(separator: " and ")
        return done.isEmpty ? "converted \(report.linears) linears from \(report.from) to \(report.to)" : done
    }
}

extension OutputFormat: ExpressibleByArgument {}
