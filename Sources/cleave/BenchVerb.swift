// cleave bench: what this machine can do.

import ArgumentParser
import Failures
import Foundation
import Measurement
import MessagePassing
import Reporting
import Safetensors
import Sharding

struct BenchVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure this machine: products, X^T X, factor, column loop, messages, disk; writes machine.json, from which `cleave plan` predicts times.")

    @Option(help: "Where the measurements are written.", completion: .file(extensions: ["json"]))
    var output = "machine.json"

    @Option(help: "Directory whose disk is measured.", completion: .directory)
    var disk = "."

    @Option(help: "Seconds for which each operation is repeated.")
    var seconds = 1.0

    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard seconds > 0 else { throw ValidationError("--seconds must be above 0, found \(seconds)") }
    }

    func run(_ world: Communicator) throws {
        let profile = try Measurement(world: world, seconds: seconds).run(directory: disk)
        try world.onCoordinator(exitCode: Failures.exitCode) {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try AtomicFile.write([UInt8](encoder.encode(profile)) + [UInt8(ascii: "\n")], to: output)
        }
        guard world.isCoordinator else { return }
        Console.output(common.json ? try jsonLine(profile) : describe(profile))
    }

    private func describe(_ profile: MachineProfile) -> String {
        let rates = profile.rates
        var table = Table(header: ["of one rank", "rate"])
        func arithmetic(_ name: String, _ rate: Double) { table.add([name, "\(formatCount(rate))/s"]) }
        func data(_ name: String, _ rate: Double) { if rate > 0 { table.add([name, "\(formatBytes(Int(rate)))/s"]) } }
        arithmetic("product, bf16", rates.productBFloat16)
        arithmetic("product, fp32", rates.productFloat)
        arithmetic("X^T X, bf16", rates.gramBFloat16)
        arithmetic("X^T X, fp32", rates.gramFloat)
        let few = "\(MachineProfile.Rates.narrowColumns) columns"
        arithmetic("product, bf16, \(few)", rates.narrow.productBFloat16)
        arithmetic("X^T X, bf16, \(few)", rates.narrow.gramBFloat16)
        arithmetic("attention, bf16", rates.attentionBFloat16)
        arithmetic("attention, fp32", rates.attentionFloat)
        arithmetic("factor, products in fp32", rates.factorBFloat16)
        arithmetic("factor, products in fp64", rates.factorFloat)
        arithmetic("solve (GPTQ, 4 bits, group 128), bf16", rates.solveBFloat16)
        arithmetic("solve (GPTQ, 4 bits, group 128), fp32", rates.solveFloat)
        table.add(["ranges searched for", "\(formatCount(rates.search)) weights/s"])
        table.add(["numbers added and converted", "\(formatCount(rates.elements))/s"])
        table.add(["weights from codes", "\(formatCount(rates.dequantize)) weights/s"])
        data("Hessian to the factor's order", rates.permute)
        data("sums in a host's memory", rates.reduceInHost)
        data("sums between hosts", rates.reduce)
        data("copies in a host", rates.broadcastInHost)
        data("copies between hosts", rates.broadcast)
        data("tokens to other ranks", rates.exchange)
        if rates.latency > 0 { table.add(["all-reduce of one number", "\(format(rates.latency * 1e6, digits: 1)) us"]) }
        data("disk read", rates.diskRead)
        data("disk write", rates.diskWrite)
        return "\(profile.processor): \(profile.ranks) ranks x \(profile.threads) threads on \(profile.hosts) hosts "
            + "(operations are multiplications and additions)\n" + table.text() + "wrote \(output)\n"
    }
}
