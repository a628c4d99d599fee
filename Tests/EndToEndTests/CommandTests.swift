// What the command says and how it exits, right and wrong.

import Foundation
import Testing

@Suite(.serialized) struct CommandTests {
    @Test(arguments: ["plan", "compress", "merge", "status", "report", "verify", "convert", "eval", "inspect", "tokenize", "bench"])
    func everyVerbHasHelpPrintedOnce(verb: String) throws {
        let run = try CleaveProcess.run([verb, "--help"], ranks: 2)
        #expect(run.exitCode == 0)
        #expect(run.output.components(separatedBy: "USAGE: cleave \(verb)").count == 2)
    }

    struct Failure: CustomTestStringConvertible {
        var arguments: [String]
        var exitCode: Int32
        var message: String
        var testDescription: String { arguments.joined(separator: " ") }
    }

    static let failures = [
        Failure(arguments: ["compress"], exitCode: 64, message: "Missing expected argument"),
        Failure(arguments: ["compress", "Configs/demo.yaml", "--bits", "3"], exitCode: 64, message: "Unknown option"),
        Failure(arguments: ["compress", "no-such.yaml"], exitCode: 66, message: "cannot read the recipe no-such.yaml"),
        Failure(arguments: ["compress", "Configs/demo.yaml", "--model", "no-such-model"], exitCode: 66, message: "no-such-model: no such model directory"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "compress.bit=3"], exitCode: 65, message: "nearest valid key is `bits`"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "compress.bits=5"], exitCode: 65, message: "one of 2, 3, 4, 8"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "ignore=[nothing]"], exitCode: 65, message: "matches no linear"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.sequences=100000"], exitCode: 65, message: "100000 are asked for"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "compress.group=128"], exitCode: 65, message: "not a multiple of the group"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "format=marlin"], exitCode: 65, message: "Marlin has groups of 128 columns"),
        Failure(arguments: ["convert", "Demo/wikillama", "--format", "gptq", "--output", "no-such"], exitCode: 65, message: "Demo/wikillama is dense"),
        Failure(arguments: ["convert", "Demo/wikillama", "--format", "awq", "--output", "no-such"], exitCode: 64, message: "'awq' is invalid"),
        Failure(arguments: ["verify", "Demo/wikillama"], exitCode: 66, message: "cleave_manifest.json is missing"),
        Failure(arguments: ["eval", "Demo/wikillama", "--data", "no-such.txt"], exitCode: 66, message: "no-such.txt: The file does not exist"),
        Failure(arguments: ["status", "no-such"], exitCode: 66, message: "no-such holds no run of Cleave"),
        Failure(arguments: ["status", "Demo"], exitCode: 66, message: "Demo holds no run of Cleave"),
        Failure(arguments: ["report", "Demo"], exitCode: 66, message: "Demo holds no run of Cleave"),
        Failure(arguments: ["report", "Demo", "Configs"], exitCode: 64, message: "--output is needed for a page of 2 runs"),
        Failure(
            arguments: ["eval", "Demo/wikillama", "--data", "Demo/evaluation.txt", "--length", "64", "--sequences", "1", "--save"], exitCode: 66,
            message: "Demo/wikillama holds no run of Cleave"),
        Failure(arguments: ["inspect", "README.md"], exitCode: 65, message: "README.md"),
        // Mistaken numbers and places end with the user's codes, which `--retries` does not repeat, and not with 70 or a signal.
        Failure(arguments: ["eval", "Demo/wikillama", "--data", "/dev/null"], exitCode: 65, message: "/dev/null: This is a device; a regular file is needed"),
        Failure(arguments: ["eval", "Demo/wikillama", "--data", "Demo"], exitCode: 65, message: "Demo: This is a directory"),
        Failure(
            arguments: ["eval", "Demo/wikillama", "--data", "Demo/evaluation.txt", "--length", "1000000000000000000"], exitCode: 64,
            message: "--length must be from 2 to"),
        Failure(
            arguments: ["eval", "Demo/wikillama", "--data", "Demo/evaluation.txt", "--sequences", "9000000000000000000"], exitCode: 64,
            message: "--sequences must"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--ranks", "1000000000000000"], exitCode: 64, message: "--ranks must be numbers from 1 to"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--threads", "1000000000000000000"], exitCode: 64, message: "--threads must be from 1 to"),
        Failure(
            arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.sequences=16777216", "--set", "calibration.length=16777216"], exitCode: 65,
            message: "look for a mistaken number"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.source=/dev/stdin"], exitCode: 65, message: "a regular file is needed"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--output", "/"], exitCode: 73, message: "is the root of the file system"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--output", "Demo/wikillama"], exitCode: 73, message: "is the model's own"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--output", "Demo/wikillama/new/out"], exitCode: 73, message: "lies inside the model's"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--output", "Demo"], exitCode: 73, message: "holds the model"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--output", "README.md"], exitCode: 73, message: "is a file"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.source=README"], exitCode: 66, message: "README: The file does not exist"),
        Failure(arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.source=[]"], exitCode: 65, message: "`calibration.source` is an empty list"),
        Failure(
            arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.source={path: Demo/calibration.txt, field: body}"], exitCode: 65,
            message: "Demo/calibration.txt is a plain text, which has no field `body`"),
        Failure(
            arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.source={path: Tests/ParquetTests/Fixtures/plain.parquet, field: id}"], exitCode: 65,
            message: "column `id` of this table holds no texts; `text`, `other` do: name one as `field`"),
        Failure(
            arguments: ["plan", "Configs/demo.yaml", "--set", "calibration.source=Tests/ParquetTests/Fixtures/plain.parquet"], exitCode: 65,
            message: "row 49 of column `text` is null, not a text; leave such rows out"),
        Failure(arguments: ["status"], exitCode: 64, message: "Missing expected argument"),
        Failure(arguments: ["eval", "Demo/wikillama"], exitCode: 64, message: "Missing expected argument '--data"),
    ]

    @Test(arguments: failures)
    func errorsAreSaidOnce(_ failure: Failure) throws {
        let run = try CleaveProcess.run(failure.arguments, ranks: 2)
        #expect(run.exitCode == failure.exitCode)
        #expect(run.errors.components(separatedBy: failure.message).count == 2, "\(run.errors)")
        #expect(run.output.isEmpty)
    }

    /// The same for programs: one value on standard output, which says the kind, the exit code and the message.
    @Test func errorsHaveCodes() throws {
        let codes: [Int32: String] = [64: "usage", 65: "bad_input", 66: "missing_input", 73: "cannot_write"]
        #expect(Self.failures.count >= 40)
        for failure in Self.failures {
            let run = try CleaveProcess.run(failure.arguments + ["--json"])
            let value = try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: [String: Any]], "\(failure): \(run.output)")
            let error = try #require(value["error"])
            #expect(error["code"] as? String == codes[failure.exitCode] && error["exitCode"] as? Int == Int(failure.exitCode), "\(failure): \(error)")
            #expect((error["message"] as? String)?.contains(failure.message) == true, "\(failure): \(error)")
        }
    }

    /// A processor that OpenBLAS does not know gets code that it can run, on all ranks; whoever names a code gets that.
    @Test func openBLASRunsCodeForTheProcessor() throws {
        for ranks in [nil, 1, 2] {
            let text = try CleaveProcess.run(["--version"], ranks: ranks).output
            #expect(text.contains(#/OpenBLAS +[0-9.]+ for \w+/#))
            guard text.contains(" avx2") else { continue }
            #expect(!text.contains("for Prescott"))
            let told = try CleaveProcess.run(["--version"], ranks: ranks, environment: ["OPENBLAS_CORETYPE=Prescott"]).output
            #expect(told.contains("for Prescott"))
        }
    }

    /// The libraries that were loaded, and the processor's features, stand behind the version.
    @Test func theVersionNamesLibraries() throws {
        let run = try CleaveProcess.run(["--version"], ranks: 2)
        #expect(run.exitCode == 0)
        let lines = run.output.split(separator: "\n").map(String.init)
        #expect(lines[0].wholeMatch(of: /cleave \d+\.\d+\.\d+/) != nil)
        #expect(
            lines.dropFirst().map { String($0.prefix { $0 != " " }) } == [
                "MPI", "OpenBLAS", "oneDNN", "xxHash", "Oniguruma", "zlib", "zstd", "processor", "features",
            ])
        for line in lines.dropFirst().prefix(7) { #expect(line.contains(/\d+\.\d+/), "\(line)") }
    }

    /// The manual page says what `--help` says: every verb, and every option of it.
    @Test func theManualPageHasEveryOption() throws {
        let page = try CleaveProcess.run(["manual"]).output.replacing("\\-", with: "-")
        let verbs = try CleaveProcess.run(["--help"]).output.matches(of: /\n  ([a-z]+) {2,}/).map { String($0.output.1) }
        #expect(verbs.count >= 12)
        for verb in verbs {
            let section = try #require(page.components(separatedBy: ".SS \"cleave \(verb)\"").dropFirst().first?.components(separatedBy: ".SS").first)
            let options = Set(try CleaveProcess.run([verb, "--help"]).output.matches(of: /\n  (--[a-z-]+)/).map { String($0.output.1) })
            for option in options.subtracting(["--version", "--help"]) { #expect(section.contains("\\fB\(option)\\fR"), "\(verb) \(option)") }
        }
        // Nothing in the text is taken for a macro.
        let macros = Set([".TH", ".nh", ".ad", ".SH", ".SS", ".B", ".BR", ".I", ".br", ".TP", ".PP"])
        #expect(page.split(separator: "\n").filter { $0.hasPrefix(".") }.allSatisfy { macros.contains(String($0.prefix { $0 != " " })) })
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func completionsNameVerbsAndOptions(shell: String) throws {
        let run = try CleaveProcess.run(["--generate-completion-script", shell])
        #expect(run.exitCode == 0)
        for word in ["compress", "status", "max-hours", "trace"] { #expect(run.output.contains(word)) }
    }

    /// Ids never take the place of what they are made of, also where only its directory is named.
    @Test func whatIsReadIsNotReplaced() throws {
        let directory = try TemporaryDirectory()
        for file in ["tokenizer.json", "text.txt"] {
            let source = file == "text.txt" ? "/Demo/calibration.txt" : "/Demo/wikillama/" + file
            try FileManager.default.copyItem(atPath: CleaveProcess.root + source, toPath: directory.path + "/" + file)
        }
        for file in ["tokenizer.json", "text.txt"] {
            let before = try Data(contentsOf: URL(fileURLWithPath: directory.path + "/" + file))
            let run = try CleaveProcess.run(["tokenize", directory.path, directory.path + "/text.txt", "--output", directory.path + "/" + file])
            #expect(run.exitCode == 73 && run.errors.contains("would replace"), "\(run.errors)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: directory.path + "/" + file)) == before)
        }
    }

    @Test func planChangesNothing() throws {
        let directory = try TemporaryDirectory()
        let run = try CleaveProcess.run(["plan", "Configs/demo.yaml", "--output", directory.path + "/out", "--linears", "--ranks", "1,64"])
        #expect(run.exitCode == 0)
        #expect(run.output.contains("model.layers.7.mlp.down_proj"))
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/out"))
    }

    /// What a machine is measured to do is what `plan` predicts from.
    @Test func measuredRatesPredictTimes() throws {
        let directory = try TemporaryDirectory()
        let profile = directory.path + "/machine.json"
        let bench = try CleaveProcess.run(["bench", "--seconds", "0.01", "--disk", directory.path, "--output", profile], ranks: 2)
        #expect(bench.exitCode == 0 && bench.output.contains("solve (GPTQ, 4 bits, group 128)"), "\(bench.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["machine.json"])
        let plan = try CleaveProcess.run(["plan", "Configs/demo.yaml", "--ranks", "1,2", "--machine", profile, "--json"])
        let object = try #require(JSONSerialization.jsonObject(with: Data(plan.output.utf8)) as? [String: Any])
        let predictions = try #require(object["predictions"] as? [[String: Double]])
        #expect(predictions.count == 2 && predictions.allSatisfy { $0.values.allSatisfy { $0 >= 0 && $0.isFinite } && $0["forward"]! > 0 })
    }

    @Test func verifyFindsAFlippedByte() throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let settings = ["compress.method=rtn", "compress.grid=minmax", "calibration=null", "evaluation=null"].flatMap { ["--set", $0] }
        try #require(try CleaveProcess.run(["compress", "Configs/demo.yaml", "--output", output] + settings, ranks: 2).exitCode == 0)
        #expect(try CleaveProcess.run(["verify", output], ranks: 2).exitCode == 0)
        let path = URL(fileURLWithPath: output + "/model.safetensors")
        var bytes = try Data(contentsOf: path)
        bytes[bytes.count / 2] ^= 4
        try bytes.write(to: path)
        let run = try CleaveProcess.run(["verify", output], ranks: 2)
        #expect(run.exitCode == 65)
        #expect(run.errors.contains("model.safetensors: checksum"))
    }

    @Test func evaluationIsTheSameOnAnyRanks() throws {
        let lines = try [1, 2, 3].map { ranks in
            try CleaveProcess.run(["eval", "Demo/wikillama", "--data", "Demo/evaluation.txt", "--length", "128", "--sequences", "7", "--json"], ranks: ranks)
                .output
        }
        #expect(lines[0].contains("perplexity"))
        #expect(lines[1] == lines[0])
        #expect(lines[2] == lines[0])
    }

    @Test func comparisonIsTheSameOnAnyRanks() throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        try #require(try SmallRun.compress(output, ranks: 2).exitCode == 0)
        func evaluate(_ model: String, reference: String, ranks: Int) throws -> CleaveRun {
            try CleaveProcess.run(
                ["eval", model, "--reference", reference, "--data", "Demo/evaluation.txt", "--length", "128", "--sequences", "7", "--json"], ranks: ranks)
        }
        let lines = try [1, 2, 3].map { try evaluate(output, reference: "Demo/wikillama", ranks: $0).output }
        #expect(lines[1] == lines[0])
        #expect(lines[2] == lines[0])
        func comparison(_ line: String) throws -> [String: Double] {
            let report = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            return try #require(report["comparison"] as? [String: Double])
        }
        let found = try comparison(lines[0])
        #expect(try #require(found["divergence"]) > 1e-4 && #require(found["sameChoices"]) < 1)
        // Of a model with itself there is nothing to tell.
        let same = try comparison(evaluate("Demo/wikillama", reference: "Demo/wikillama", ranks: 2).output)
        #expect(try abs(#require(same["divergence"])) < 1e-6 && same["sameChoices"] == 1)
    }
}
