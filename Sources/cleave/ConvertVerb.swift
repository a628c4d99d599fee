// cleave convert: a compressed checkpoint in another format, with the same codes.

import ArgumentParser
import MessagePassing
import Pipeline
import Recipes
import Reporting
import Safetensors

struct ConvertVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write a compressed checkpoint in another format, codes, scales and zero points staying exactly what they are.",
        discussion: """
            Between compressed-tensors, gptq, gptq_v2 and marlin, as far as the format can carry each linear, and from each of them to dense. What would \
            change a number is refused (exit code 65): a zero point of 0 in gptq, or scales of one 16-bit type that are none of the other.
            """)

    @Argument(help: "The compressed checkpoint.", completion: .directory)
    var directory: String

    @Option(help: "The format of the result.")
    var format: OutputFormat

    @Option(help: "The directory of the result.", completion: .directory)
    var output: String

    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    func run(_ world: Communicator) throws {
        let report = try Conversion(directory, to: format, output: output, reading: weights.reading, world: world).run()
        let result = try verify(output, world: world)
        guard result.problems.isEmpty else {
            throw AgreedFailure(rank: 0, exitCode: 74, description: "the result is damaged:\n  " + result.problems.joined(separator: "\n  "))
        }
        guard world.isCoordinator else { return }
        Console.output(
            common.json
                ? try jsonLine(report)
                : "converted \(report.linears) linears from \(report.from) to \(report.to) and verified \(output): \(formatBytes(report.bytes)) in \(report.files) files\n"
        )
    }
}

extension OutputFormat: ExpressibleByArgument {}
