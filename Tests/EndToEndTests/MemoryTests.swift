// Promise 2: a rank's memory has a bound that is printed before the run and kept during it, and keeping it changes no byte.

import Foundation
import Testing

@Suite(.serialized) struct MemoryTests {
    /// What report.json says of memory.
    private struct Report: Decodable {
        struct Memory: Decodable {
            var boundBytes: Int
            var hostBoundBytes: Int?
            var phases: [String: Int]
        }
        struct Rank: Decodable {
            var peakMemoryBytes: Int
            var bytesRead: Int
        }
        var memory: Memory
        var ranks: [Rank]
        var peak: Int { ranks.map(\.peakMemoryBytes).max() ?? 0 }
    }

    private func compress(_ model: WideModel, _ name: String, _ flags: [String] = [], ranks: Int?, threads: Int = 1) throws -> Report {
        let output = model.output(name)
        let run = try CleaveProcess.run(["compress", model.recipe, "--output", output] + flags, ranks: ranks, threads: threads)
        try #require(run.exitCode == 0, "\(name): \(run.errors)")
        #expect(run.errors.contains("memory       "))
        return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json")))
    }

    /// The sum of a Hessian some columns at a time, R panel by panel, one tile at a time: on any number of ranks the bytes of a run that holds everything.
    @Test(arguments: [[], ["--set", "compress.target=dense", "--set", "compress.stream_strength=1"]])
    func aLimitChangesMemoryAlone(settings: [String]) throws {
        let model = try WideModel(columns: 3200)
        let free = try compress(model, "free", settings, ranks: 1)
        let reference = try SmallRun.files(model.output("free"))
        #expect(free.peak < free.memory.boundBytes)
        for ranks in 1...4 {
            let limit = try model.sufficientLimit(settings, ranks: ranks)
            let held = try compress(model, "held", settings + ["--memory-per-rank", "\(limit)"], ranks: ranks)
            try SmallRun.expectEqual(model.output("held"), reference, "\(ranks) ranks in \(limit) bytes")
            #expect(held.peak <= held.memory.boundBytes && held.memory.boundBytes < free.memory.boundBytes / 4 * 3, "\(ranks) ranks")
            try FileManager.default.removeItem(atPath: model.output("held"))
        }
        let limit = try model.sufficientLimit(settings, ranks: 2, threads: 2)
        let threads = try compress(model, "threads", settings + ["--memory-per-rank", "\(limit)"], ranks: 2, threads: 2)
        try SmallRun.expectEqual(model.output("threads"), reference, "2 ranks of 2 threads")
        #expect(threads.peak <= threads.memory.boundBytes)
    }

    /// Masks over all rows, for which every rank holds two complete factors, or an inverse, and all of its tiles; rows in orders of their own; and outliers.
    @Test(arguments: [
        (3200, "{method: admm, sparsity: 0.5}"), (800, "{method: exactobs, sparsity: 0.5}"), (800, "{method: obq, group: -1}"), (3200, "{method: spqr}"),
    ])
    func methodsThatNeedAllOfAFactorKeepTheirBound(columns: Int, compress settings: String) throws {
        let model = try WideModel(columns: columns)
        let method = ["--set", "compress=\(settings)", "--set", "format=dense"]
        let free = try compress(model, "free", method, ranks: 1)
        let reference = try SmallRun.files(model.output("free"))
        #expect(free.peak < free.memory.boundBytes)
        for (ranks, threads) in [(1, 2), (3, 1)] {
            let limit = try model.sufficientLimit(method, ranks: ranks, threads: threads)
            let held = try compress(model, "held", method + ["--memory-per-rank", "\(limit)"], ranks: ranks, threads: threads)
            try SmallRun.expectEqual(model.output("held"), reference, "\(ranks) ranks of \(threads) threads in \(limit) bytes")
            #expect(held.peak <= held.memory.boundBytes, "\(ranks) ranks of \(threads) threads")
            try FileManager.default.removeItem(atPath: model.output("held"))
        }
    }

    /// The ranks of a host hold a Hessian and a factor once. All of them together keep the host's bound, which is far below what as many ranks would hold.
    @Test func aHostHoldsWhatItsRanksShareOnce() throws {
        let model = try WideModel(columns: 6400), ranks = 4, output = model.output("shared")
        var (report, peak) = try compressWatched(model, to: output, ranks: ranks)
        // Most is held for a moment, which this process misses where others keep it from the cores.
        for _ in 0..<2 where peak <= report.memory.boundBytes {
            try FileManager.default.removeItem(atPath: output)
            (report, peak) = try compressWatched(model, to: output, ranks: ranks)
        }
        let bound = try #require(report.memory.hostBoundBytes)
        #expect(peak <= bound && peak > report.memory.boundBytes, "\(peak) of \(bound)")
        #expect(bound < ranks * report.memory.boundBytes / 3 * 2, "\(bound) of \(ranks) times \(report.memory.boundBytes)")
        let alone = try compress(model, "alone", ranks: 1)
        #expect(alone.memory.hostBoundBytes == nil)
        try SmallRun.expectEqual(output, SmallRun.files(model.output("alone")), "4 ranks")
    }

    /// The limit of a host that a refusal names is kept by its ranks together, and changes no byte.
    @Test func aLimitOfAHost() throws {
        let model = try WideModel(columns: 6400), output = model.output("held")
        let free = try compress(model, "free", ranks: 3)
        let limit = try model.sufficientLimit(of: "host", ranks: 3)
        let (report, peak) = try compressWatched(model, to: output, ["--memory-per-host", "\(limit)"], ranks: 3)
        try SmallRun.expectEqual(output, SmallRun.files(model.output("free")), "3 ranks in \(limit) bytes")
        let (bound, freeBound) = (try #require(report.memory.hostBoundBytes), try #require(free.memory.hostBoundBytes))
        #expect(bound <= limit && peak <= bound, "\(peak) of \(bound), limit \(limit)")
        #expect(bound < freeBound / 5 * 4, "\(bound) of \(freeBound)")
    }

    /// A run's report, and the most that all of its ranks were seen to hold together.
    private func compressWatched(_ model: WideModel, to output: String, _ flags: [String] = [], ranks: Int) throws -> (Report, peak: Int) {
        let run = try CleaveProcess(["compress", model.recipe, "--output", output] + flags, ranks: ranks)
        var peak = 0
        while run.isRunning {
            peak = max(peak, run.ranks.reduce(0) { $0 + proportionalBytes(of: $1) })
            Thread.sleep(forTimeInterval: 0.01)
        }
        try #require(run.wait().exitCode == 0)
        return (try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json"))), peak)
    }

    /// Bytes of a process, of which what it shares with others counts in parts; 0 when it has ended.
    private func proportionalBytes(of process: pid_t) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(process)/smaps_rollup", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("Pss:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    /// Memory that the system refuses ends all ranks with words, and the same command goes on later.
    @Test func aRefusalOfTheSystem() throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        let whole = try SmallRun.compress(directory.path + "/whole", ranks: 1)
        try #require(whole.exitCode == 0, "\(whole.errors)")
        let output = directory.path + "/refused"
        let fault = Fault(call: .memory, path: "anonymous", number: 4, action: .error(ENOMEM), rank: 1)
        let refused = try SmallRun.compress(output, ranks: 2, environment: fault.environment(library))
        #expect(refused.exitCode == 71, "\(refused.errors)")
        #expect(refused.errors.contains("cleave: rank 1 on ") && refused.errors.contains(" bytes of memory: Cannot allocate memory"), "\(refused.errors)")
        let resumed = try SmallRun.compress(output, ranks: 2)
        #expect(resumed.exitCode == 0, "\(resumed.errors)")
        try SmallRun.expectEqual(output, try SmallRun.files(directory.path + "/whole"), "after a refusal")
    }

    /// A limit of the address space (ulimit -v): from one that leaves no room for the libraries to one that is enough, every run ends with the result, or with
    /// 71 and one message. None hangs, and none ends by a signal.
    @Test(arguments: [nil, 2] as [Int?])
    func aSmallAddressSpace(ranks: Int?) throws {
        let directory = try TemporaryDirectory()
        let whole = try SmallRun.compress(directory.path + "/whole", ranks: 1)
        try #require(whole.exitCode == 0, "\(whole.errors)")
        let reference = try SmallRun.files(directory.path + "/whole")
        func run(kibibytes: Int) throws -> CleaveRun {
            let output = directory.path + "/limited"
            try? FileManager.default.removeItem(atPath: output)
            let launcher = ranks.map { ["mpirun", "--oversubscribe", "--bind-to", "none", "--allow-run-as-root", "-n", "\($0)"] } ?? []
            // The limit is that of each rank: what a launcher needs differs from version to version.
            let limit = ["sh", "-c", "ulimit -v \(kibibytes); exec \"$@\"", "sh"]
            return try CleaveProcess.run(
                command: ["OMP_NUM_THREADS=1", "timeout", "100"] + launcher + limit + [CleaveProcess.binary] + SmallRun.arguments(output))
        }
        var refusals = 0
        for limit in stride(from: 300_000, through: 1_000_000, by: 50_000) {
            let limited = try run(kibibytes: limit)
            #expect(limited.exitCode == 71 || limited.exitCode == 0, "\(limit): \(limited.exitCode) \(limited.errors)")
            guard limited.exitCode != 0 else {
                try SmallRun.expectEqual(directory.path + "/limited", reference, "\(limit)")
                continue
            }
            refusals += 1
            let words = limited.errors.components(separatedBy: "cleave: ").dropFirst()
            #expect(words.count == 1 && words.first?.contains("(ulimit -v)") == true, "\(limit): \(limited.errors)")
            #expect(!limited.errors.contains("Fatal") && !limited.errors.contains("terminate called"), "\(limit): \(limited.errors)")
        }
        #expect(refusals >= 5)
        let enough = try run(kibibytes: 3_000_000)
        #expect(enough.exitCode == 0, "\(enough.errors)")
        try SmallRun.expectEqual(directory.path + "/limited", reference, "a limit that is enough")
    }

    /// A run that was stopped goes on under another limit.
    @Test func resumingUnderAnotherLimit() throws {
        let model = try WideModel(columns: 1152, blocks: 2)
        _ = try compress(model, "whole", ranks: 2)
        let first = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("parts"), "--max-hours", "0.00001"], ranks: 2)
        #expect(first.exitCode == 75, "\(first.errors)")
        _ = try compress(model, "parts", ["--memory-per-rank", "\(try model.sufficientLimit(ranks: 3))"], ranks: 3)
        try SmallRun.expectEqual(model.output("parts"), try SmallRun.files(model.output("whole")), "resumed")
    }

    /// With weights that one rank sends to the others, all ranks together read what one rank alone reads, and their norms.
    @Test func weightsAreReadOnce() throws {
        let directory = try TemporaryDirectory()
        // Linears that keep their weights, and dense weights inside the block.
        let settings = ["propagation=block", "ignore=[lm_head, '*.o_proj']"]
        func bytesRead(_ name: String, _ weights: String, ranks: Int) throws -> Int {
            let run = try SmallRun.compress(directory.path + "/" + name, settings, flags: ["--weights", weights], ranks: ranks)
            try #require(run.exitCode == 0, "\(name): \(run.errors)")
            let report = try JSONDecoder().decode(
                Report.self, from: Data(contentsOf: URL(fileURLWithPath: directory.path + "/\(name)/cleave/report.json")))
            return report.ranks.reduce(0) { $0 + $1.bytesRead }
        }
        let alone = try bytesRead("alone", "mapped", ranks: 1)
        let reference = try SmallRun.files(directory.path + "/alone")
        let norms = 2 * 8 * 256 * 2  // two norms in each of 8 blocks, 256 numbers of bf16
        #expect(try bytesRead("broadcast", "broadcast", ranks: 3) == alone + 2 * norms)
        try SmallRun.expectEqual(directory.path + "/broadcast", reference, "broadcast")
        #expect(try bytesRead("each", "mapped", ranks: 3) > alone + alone / 2)
        try SmallRun.expectEqual(directory.path + "/each", reference, "read by each rank")
    }

    /// Texts and ids that would not fit below the bound: they are read some at a time.
    @Test(arguments: ["text", "ids"])
    func aLongCalibrationIsNotHeld(source: String) throws {
        let directory = try TemporaryDirectory()
        let text = directory.path + "/long.txt", ids = directory.path + "/long.npy"
        let part = try Data(contentsOf: URL(fileURLWithPath: "Demo/calibration.txt"))
        #expect(FileManager.default.createFile(atPath: text, contents: nil))
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: text))
        for _ in 0..<(96 << 20) / part.count { try file.write(contentsOf: part) }
        try file.close()
        if source == "ids" {
            let tokenized = try CleaveProcess.run(["tokenize", "Demo/wikillama", text, "--output", ids])
            try #require(tokenized.exitCode == 0, "\(tokenized.errors)")
        }
        let output = directory.path + "/out"
        let settings = ["calibration.source=\(source == "ids" ? ids : text)", "calibration.sampling=random"]
        let run = try SmallRun.compress(output, settings, ranks: 1)
        try #require(run.exitCode == 0, "\(run.errors)")
        let report = try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json")))
        #expect(report.peak <= report.memory.boundBytes, "\(report.peak) of \(report.memory.boundBytes) bytes")
    }

    @Test func depthDoesNotMatter() throws {
        // Enough blocks that merging fills its buffers: what they take does not grow any more.
        let peaks = try [16, 64].map { blocks in
            let model = try WideModel(columns: 1024, hidden: 256, blocks: blocks)
            let report = try compress(model, "out", ["--memory-per-rank", "1GiB"], ranks: 2)
            #expect(report.peak <= report.memory.boundBytes)
            return report.peak
        }
        // A fraction of the weights of the 48 blocks; plans and indexes grow, and the system decides when pages are given back.
        #expect(abs(peaks[1] - peaks[0]) < 16 << 20, "\(peaks)")
    }
}
