// cleave inspect: what is in a checkpoint.

import ArgumentParser
import Checkpoints
import Failures
import Foundation
import GGUF
import MessagePassing
import Models
import Recipes
import Reporting
import Safetensors

struct InspectVerb: Verb {
    static let ranks = VerbRanks.first

    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show what a safetensors or GGUF file, or a model directory, holds; refuses damaged headers.")

    @Argument(help: "A .safetensors or .gguf file, or a model directory.", completion: .file())
    var path: String

    @Flag(help: "List every compressed linear and every tensor.")
    var tensors = false

    @OptionGroup var common: CommonOptions

    private struct Tensor: Encodable {
        var name: String
        var type: String
        var shape: [Int]
        var file: String
    }

    private struct Output: Encodable {
        var files: Int
        var bytes: Int
        var parameters: Int
        var types: [String: Int]
        var format: String
        var linears: [CompressedLinear]
        /// In which numbers clients keep keys and values; absent: in the model's.
        var cache: String?
        /// Why compressed linears are not listed; absent when they are.
        var unreadable: String?
        /// Linears by what was done to them, where a manifest tells.
        var methods: [String: Int]
        var tensors: [Tensor]
    }

    func run(_ world: Communicator) throws {
        let text = try world.fromCoordinator(exitCode: Failures.exitCode) { try common.json ? jsonLine(output()) : describe(output()) }
        if world.isCoordinator { Console.output(text) }
    }

    private func output() throws -> Output {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw PipelineError(.missingInput, "\(path): no such file or directory")
        }
        var list: [Tensor]
        var linears: [CompressedLinear] = []
        var unreadable: String?
        var cache: String?
        let files: Int
        var methods: [String: Int] = [:]
        if isDirectory.boolValue || GGUFFile.isOne(path), let found = try ggufFiles(isDirectory: isDirectory.boolValue) {
            list = found.flatMap { file in
                file.tensors.map { Tensor(name: $0.tensor.name, type: $0.tensor.type.name, shape: $0.tensor.shape, file: file.path) }
                    + file.unknown.map { Tensor(name: $0.name, type: "type \($0.type)", shape: $0.shape, file: file.path) }
            }
            let unknown = Set(found.flatMap(\.unknown).map(\.type)).sorted()
            if !unknown.isEmpty {
                Console.error(
                    "note: ggml's type \(unknown.map(String.init).joined(separator: ", ")) is not known here; the bytes of such tensors are not counted\n")
            }
            list.sort { $0.name < $1.name }
            for treatment in isDirectory.boolValue ? try treatments(path)?.values.map(\.summary) ?? [] : [] { methods[treatment, default: 0] += 1 }
            return Output(
                files: found.count, bytes: found.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.bytes.count } },
                parameters: list.reduce(0) { $0 + $1.shape.reduce(1, *) }, types: list.reduce(into: [:]) { $0[$1.type, default: 0] += 1 }, format: "gguf",
                linears: [], cache: nil, unreadable: nil, methods: methods, tensors: list)
        } else if isDirectory.boolValue {
            let index = try CheckpointIndex(directory: path)
            for remark in index.remarks { Console.error("note: \(remark)\n") }
            list = index.tensors.map { name, tensor in
                Tensor(name: name, type: tensor.description.type.rawValue, shape: tensor.description.shape, file: index.files[tensor.file].name)
            }
            files = index.files.count
            do {
                cache = try cacheScheme(index)
                linears = try compressedLinears(index)
            } catch {
                // What other programs can read is shown all the same.
                unreadable = "\(error)"
            }
            for treatment in try treatments(path)?.values.map(\.summary) ?? [] { methods[treatment, default: 0] += 1 }
        } else {
            let file = try SafetensorsFile(path: path)
            list = file.entries.map { Tensor(name: $0.name, type: $0.description.type.rawValue, shape: $0.description.shape, file: path) }
            files = 1
        }
        list.sort { $0.name < $1.name }
        var types: [String: Int] = [:]
        for tensor in list { types[tensor.type, default: 0] += 1 }
        let bytes = list.reduce(0) { $0 + $1.shape.reduce(ElementType(rawValue: $1.type)?.bits ?? 0, *) / 8 }
        return Output(
            files: files, bytes: bytes, parameters: list.reduce(0) { $0 + $1.shape.reduce(1, *) }, types: types,
            format: linears.first?.format ?? (unreadable == nil ? "dense" : "unknown"), linears: linears, cache: cache, unreadable: unreadable,
            methods: methods,
            tensors: list)
    }

    /// The file, or those of a directory that has no others; nil where there are none.
    private func ggufFiles(isDirectory: Bool) throws -> [GGUFFile]? {
        guard isDirectory else { return [try GGUFFile(path: path)] }
        let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        let own = names.filter { $0.hasSuffix(".gguf") }
        guard !own.isEmpty, !names.contains(where: { $0.hasSuffix(".safetensors") }) else { return nil }
        return try own.map { try GGUFFile(path: path + "/" + $0) }
    }

    private func describe(_ output: Output) -> String {
        let types = output.types.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        var text = "\(path): \(output.format), \(output.tensors.count) tensors (\(types)) in \(output.files) files, \(formatBytes(output.bytes))\n"
        if let reason = output.unreadable { text += "  cannot be evaluated or converted: \(reason)\n" }
        // How many linears of which scheme, those of the most first.
        let schemes = Dictionary(grouping: output.linears, by: \.scheme).sorted { (-$0.value.count, $0.key) < (-$1.value.count, $1.key) }
        for (scheme, linears) in schemes {
            let bytes = linears.compactMap(\.storedBytes).reduce(0, +), weights = linears.reduce(0) { $0 + $1.rows * $1.columns }
            let bits = bytes > 0 ? ", \(format(8 * Double(bytes) / Double(max(weights, 1)), digits: 2)) bits a weight" : ""
            text += "  \(linears.count) linears: \(scheme)\(bits)\(schemes.count > 1 ? ", such as \(linears[0].name)" : "")\n"
        }
        if let cache = output.cache { text += "  keys and values of a server's cache: \(cache)\n" }
        for (method, count) in output.methods.sorted(by: { $0.key < $1.key }) { text += "  \(count) linears by \(method)\n" }
        guard tensors else { return text }
        if !output.linears.isEmpty {
            var table = Table(header: ["linear", "bits", "group", "symmetric", "rows", "columns"])
            for linear in output.linears {
                let bits = linear.type ?? "\(linear.bits)"
                table.add([linear.name, bits, "\(linear.group)", linear.symmetric ? "yes" : "no", "\(linear.rows)", "\(linear.columns)"])
            }
            text += table.text()
        }
        var table = Table(header: ["tensor", "type", "shape", "file"])
        for tensor in output.tensors { table.add([tensor.name, tensor.type, "\(tensor.shape)", tensor.file]) }
        text += table.text()
        return text
    }
}
