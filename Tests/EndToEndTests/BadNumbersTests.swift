// Numbers that are not finite, in a model's files and in a perplexity: found, said once, and never the end of a finished run's report.

import Foundation
import Testing

@Suite(.serialized) struct BadNumbersTests {
    /// A copy of a model directory, one of whose files is changed in a few bytes.
    private struct Copy {
        let directory: TemporaryDirectory
        var path: String { directory.path + "/model" }

        init(of source: String) throws {
            directory = try TemporaryDirectory()
            try FileManager.default.copyItem(atPath: source, toPath: path)
        }

        /// Sets elements of a 16-bit tensor of a file.
        func set(_ tensor: String, _ elements: Range<Int>, to bits: UInt16, file: String = "model.safetensors") throws {
            let url = URL(fileURLWithPath: path + "/" + file)
            var bytes = [UInt8](try Data(contentsOf: url))
            let length = (0..<8).reversed().reduce(0) { $0 << 8 | Int(bytes[$1]) }
            let header = try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length])) as? [String: Any]
            let entry = try #require(header?[tensor] as? [String: Any])
            let start = 8 + length + (try #require(entry["data_offsets"] as? [Int]))[0]
            for element in elements {
                bytes[start + 2 * element] = UInt8(truncatingIfNeeded: bits)
                bytes[start + 2 * element + 1] = UInt8(bits >> 8)
            }
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: url.path)
            try Data(bytes).write(to: url)
        }
    }

    private static let demo = CleaveProcess.root + "/Demo/wikillama"
    private static let evaluation = ["--data", "Demo/evaluation.txt", "--length", "64", "--sequences", "2"]

    private func expectNamed(_ run: CleaveRun, _ exitCode: Int32, _ tensor: String, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(run.exitCode == exitCode, "\(run.errors)", sourceLocation: sourceLocation)
        let words = "tensor \(tensor) is infinite or not a number at ["
        #expect(run.errors.components(separatedBy: words).count == 2, "\(run.errors)", sourceLocation: sourceLocation)
    }

    /// The verbs that read a model look at all of it, on any number of ranks.
    @Test(arguments: ["model.embed_tokens.weight", "model.norm.weight"], [1, 3])
    func everyVerbFindsThem(tensor: String, ranks: Int) throws {
        let copy = try Copy(of: Self.demo)
        // A row of the embedding that no text has.
        try copy.set(tensor, 250..<251, to: 0x7fc0)
        expectNamed(try CleaveProcess.run(["eval", copy.path] + Self.evaluation, ranks: ranks), 65, tensor)
        let output = copy.directory.path + "/out"
        expectNamed(try SmallRun.compress(output, ["model=\(copy.path)"], ranks: ranks), 65, tensor)
        #expect(!FileManager.default.fileExists(atPath: output + "/config.json"))
    }

    /// The parts of compressed linears, too.
    @Test func scalesOfCompressedLinears() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole"
        let settings = ["format=gptq", "compress.method=rtn", "compress.grid=minmax", "calibration=null", "max_shard_size=1GB"]
        try #require(try SmallRun.compress(whole, settings, ranks: 2).exitCode == 0)
        let (tensor, copy) = ("model.layers.3.mlp.up_proj.scales", try Copy(of: whole))
        try copy.set(tensor, 7..<8, to: 0x7c00)
        expectNamed(try CleaveProcess.run(["eval", copy.path] + Self.evaluation, ranks: 2), 65, tensor)
        let converted = try CleaveProcess.run(["convert", copy.path, "--format", "gptq_v2", "--output", directory.path + "/v2"], ranks: 2)
        expectNamed(converted, 65, tensor)
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/v2"))
        // Other bytes than the manifest says are what is wrong first.
        let verified = try CleaveProcess.run(["verify", copy.path], ranks: 2)
        #expect(verified.exitCode == 65 && verified.errors.contains("checksum"), "\(verified.errors)")
    }

    /// Weights that are finite, and logits that are not: the run ends with its checkpoint, its report and an exit code that says so.
    @Test(arguments: [1, 2])
    func aPerplexityThatIsNotFinite(ranks: Int) throws {
        let copy = try Copy(of: Self.demo)
        try copy.set("model.norm.weight", 0..<256, to: 0x7f7f)
        let output = copy.directory.path + "/out"
        let evaluation = "evaluation={source: Demo/evaluation.txt, length: 64, sequences: 2}"
        let settings = ["model=\(copy.path)", "compress.method=rtn", "compress.grid=minmax", "calibration=null", evaluation]
        let run = try SmallRun.compress(output, settings, ranks: ranks)
        #expect(run.exitCode == 65 && run.errors.components(separatedBy: "the perplexity of the result").count == 2, "\(run.errors)")
        let report = try String(contentsOfFile: output + "/cleave/report.json", encoding: .utf8)
        #expect(report.contains("\"perplexity\" : null") && report.contains("\"notFinite\" : "))
        #expect(try CleaveProcess.run(["verify", output], ranks: ranks).exitCode == 0)
        let evaluated = try CleaveProcess.run(["eval", copy.path, "--json"] + Self.evaluation, ranks: ranks)
        #expect(evaluated.exitCode == 65 && evaluated.output.contains("\"perplexity\":null"), "\(evaluated.output) \(evaluated.errors)")
    }
}
