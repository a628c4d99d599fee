// Predicted times: the costs at the measured rates.

import Foundation
import Sharding
import Testing
import Transformers

@Suite struct PredictionTests {
    private let files = FileVolumes(sourceBytes: 100_000_000, outputBytes: 30_000_000, outputFiles: 3, bitsPerWeight: 4.25)

    private func profile(ranks: Int = 2, threads: Int = 1, _ change: (inout MachineProfile.Rates) -> Void = { _ in }) -> MachineProfile {
        var rates = MachineProfile.Rates()
        (rates.productBFloat16, rates.productFloat, rates.gramBFloat16, rates.gramFloat) = (4e9, 2e9, 3e9, 1e9)
        (rates.factorBFloat16, rates.factorFloat, rates.solveBFloat16, rates.solveFloat) = (8e8, 5e8, 4e8, 2.5e8)
        (rates.search, rates.dequantize, rates.permute, rates.diskRead, rates.diskWrite) = (2e8, 1e9, 4e9, 1e8, 5e7)
        // Widths and what products leave out cost nothing, unless a test says so.
        (rates.narrow.productBFloat16, rates.narrow.productFloat) = (rates.productBFloat16, rates.productFloat)
        (rates.narrow.gramBFloat16, rates.narrow.gramFloat) = (rates.gramBFloat16, rates.gramFloat)
        (rates.narrow.factorBFloat16, rates.narrow.factorFloat) = (rates.factorBFloat16, rates.factorFloat)
        (rates.attentionBFloat16, rates.attentionFloat, rates.elements) = (rates.productBFloat16, rates.productFloat, 1e30)
        change(&rates)
        return MachineProfile(processor: "test", ranks: ranks, hosts: 1, threads: threads, multipliesBFloat16: true, rates: rates)
    }

    private func connected(ranks: Int = 2, threads: Int = 1) -> MachineProfile {
        profile(ranks: ranks, threads: threads) { ($0.reduceInHost, $0.broadcastInHost, $0.exchange, $0.latency) = (1e9, 1e9, 1e9, 1e-6) }
    }

    @Test func arithmeticTakesItsTimeAtTheRates() throws {
        for (compute, product, gram, factor, solve) in [("bf16", 4e9, 3e9, 8e8, 4e8), ("f32", 2e9, 1e9, 5e8, 2.5e8)] {
            let plan = try plan("compute: \(compute)")
            let costs = plan.costs(ranks: 1)
            let prediction = try #require(plan.prediction(ranks: 1, files: files, on: profile()))
            func expect(_ found: Double, _ expected: Double) { #expect(abs(found - expected) <= 1e-9 * expected) }
            expect(prediction.forward, costs.forwardOperations / product)
            expect(prediction.hessian, costs.hessianOperations / gram)
            expect(prediction.factor, costs.factorOperations / factor)
            let weights = plan.compressedLinears.reduce(0.0) { $0 + Double($1.linear.rows * $1.linear.columns) }
            expect(prediction.solve, costs.solveOperations / solve + weights / 2e8 + 2 * weights / 1e8)
            expect(prediction.read, 1 + weights / 1e9)
            expect(prediction.merge, 0.3 + 0.6)
            expect(prediction.verify, 0.3)
            // Alone a rank waits for nobody and sends nothing; it orders its sums.
            let squares = 2 * (3 * 256 * 256 + 704 * 704.0)
            expect(prediction.reduce, 4 * squares / 4e9)
            #expect(prediction.gather == 0 && prediction.commit > 0)
        }
    }

    /// 1 / rate is a straight line over 1 / width, and level above the wider of the widths that are measured.
    @Test func narrowMatricesTakeLonger() throws {
        func prediction(_ hidden: Int, _ change: (inout MachineProfile.Rates) -> Void = { _ in }) throws -> Prediction {
            let square = try plan("", llama(hidden: hidden, intermediate: hidden))
            return try #require(square.prediction(ranks: 1, files: files, on: profile(change)))
        }
        // Half the rate at 1024 columns: 1 at 4096, 2 at 1024, and so 1 + (4096 / 512 - 1) / 3 at 512.
        for (hidden, times) in [(4096, 1.0), (1024, 2.0), (512, 1 + 7 / 3.0), (8192, 1.0)] {
            let level = try prediction(hidden)
            let found = try prediction(hidden) { ($0.narrow.productBFloat16, $0.narrow.gramBFloat16, $0.narrow.factorBFloat16) = (2e9, 1.5e9, 4e8) }
            #expect(abs(found.hessian / level.hessian - times) < 1e-9 && abs(found.factor / level.factor - times) < 1e-9, "\(hidden)")
            #expect(times == 1 ? found.forward == level.forward : found.forward > level.forward)
        }
        #expect(try prediction(512) { $0.attentionBFloat16 = 1e9 }.forward > prediction(512).forward)
        // Inputs and outputs of q, k, v (of o; of gate and up; of down), for every token of 2 blocks.
        let stages = try plan("", llama(hidden: 512, intermediate: 512)).blocks.flatMap(\.stages)
        let tokens = Double(37 * 512)
        let numbers = stages.reduce(0.0) { sum, stage in
            sum + Double(stage.columns + stage.linears.reduce(0) { $0 + $1.linear.rows })
        }
        let more = try prediction(512) { $0.elements = 1e6 }.forward - prediction(512).forward
        #expect(abs(more / (tokens * numbers / 1e6) - 1) < 1e-6, "\(more)")
    }

    @Test func messagesNeedToHaveBeenMeasured() throws {
        let plan = try plan()
        #expect(plan.prediction(ranks: 2, files: files, on: profile()) == nil)
        func seconds(_ rate: Double, _ latency: Double) throws -> Prediction {
            // Arithmetic without end leaves nobody waiting.
            var machine = profile(ranks: 2) {
                ($0.reduce, $0.broadcast, $0.exchange, $0.latency) = (rate, rate, rate, latency)
                ($0.factorBFloat16, $0.permute) = (1e30, 1e30)
            }
            machine.hosts = 2
            return try #require(plan.prediction(ranks: 2, files: files, on: machine))
        }
        let (slow, fast) = (try seconds(1e6, 0), try seconds(1e9, 0))
        #expect(slow.gather > 999 * fast.gather && slow.forward == fast.forward)
        // 2 blocks of 3 stages of 256 columns and one of 704: the lower triangles of panels of 256 columns to one in fp64, rectangles in fp32 to all; diagonals to
        // both.
        let rectangles: [Double] = [3 * 256 * 256, 704 * 256, 448 * 256, 192 * 192]
        let triangles: Double = 3 * 256 * 257 / 2 + 704 * 705 / 2
        let diagonals: Double = 3 * 256 + 704
        let bytes = 2 * (4 * rectangles.reduce(0, +) + 8 * (triangles + 2 * diagonals))
        #expect(abs(slow.reduce * 1e6 / bytes - 1) < 1e-9, "\(slow.reduce)")
        // The largest |x|; memory for sums; the diagonal twice; for each panel a sum and a copy.
        let calls: Double = 2 * (3 * 6 + 10)
        #expect(abs(try seconds(1e30, 1).reduce / calls - 1) < 1e-9)
    }

    /// Columns of R that lie with their owners come to all for each wave of tiles; a Hessian in parts is summed in as many calls.
    @Test func lessMemoryCostsMessages() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2816))
        func prediction(_ residency: StageResidency) throws -> Prediction {
            let stages = plan.blocks.map { $0.stages.map { _ in residency } }
            return try #require(
                plan.prediction(ranks: 2, files: files, on: connected(), memory: MemoryPlan(keepsActivations: true, stages: stages, phases: [])))
        }
        let whole = try prediction(.whole)
        #expect(whole == plan.prediction(ranks: 2, files: files, on: connected()))
        let once = try prediction(StageResidency(hessianBlocks: nil, completeFactor: false, tilesAtOnce: nil))
        let thrice = try prediction(StageResidency(hessianBlocks: nil, completeFactor: false, tilesAtOnce: 3))
        let squares = 2 * (3 * 1024 * 1024 + 2816 * 2816.0)
        #expect(abs((once.reduce - whole.reduce) / (2 * squares / 1e9) - 1) < 0.05)
        // At most 8 or 12 tiles of a stage on each of 2 ranks.
        #expect(thrice.reduce - whole.reduce > 2 * (once.reduce - whole.reduce) && thrice.solve == whole.solve)
        #expect(try prediction(StageResidency(hessianBlocks: 1, completeFactor: true, tilesAtOnce: nil)).reduce > whole.reduce)
    }

    /// Twice the rounds for the square of the ranks; long messages pass each link about once, however many ranks there are.
    @Test func latencyGrowsWithTheRoundsAndVolumeDoesNot() throws {
        func seconds(_ ranks: Int, measured: Int, latency: Double, rate: Double) throws -> Double {
            let machine = profile(ranks: measured) {
                ($0.reduceInHost, $0.broadcastInHost, $0.exchange, $0.latency) = (rate, rate, rate, latency)
                ($0.factorBFloat16, $0.permute) = (1e30, 1e30)
            }
            return try #require(plan().prediction(ranks: ranks, files: files, on: machine)).reduce
        }
        let base = try seconds(4, measured: 4, latency: 1e-3, rate: 1e30)
        #expect(abs(try seconds(16, measured: 4, latency: 1e-3, rate: 1e30) / base - 2) < 0.01)
        #expect(abs(try seconds(4, measured: 16, latency: 1e-3, rate: 1e30) / base - 0.5) < 0.01)
        let volume = try seconds(2, measured: 2, latency: 0, rate: 1e3)
        #expect(abs(try seconds(1024, measured: 2, latency: 0, rate: 1e3) / volume - 2 * 1023 / 1024) < 0.01)
    }

    /// Ranks of a host add in its memory and send once. Half of a sum crosses a link of 2 hosts, nearly all of it one of many; a copy crosses it once.
    @Test func hostsAreWhatSendsBytes() throws {
        let plan = try plan()
        func seconds(_ ranks: Int, ofHost: Int, _ change: (inout MachineProfile.Rates) -> Void) throws -> Double {
            var machine = profile(ranks: 16) {
                ($0.reduce, $0.broadcast, $0.exchange, $0.reduceInHost, $0.broadcastInHost) = (1e30, 1e30, 1e30, 1e30, 1e30)
                ($0.factorBFloat16, $0.permute) = (1e30, 1e30)
                change(&$0)
            }
            machine.hosts = 2
            return try #require(plan.prediction(ranks: ranks, ranksOfHost: ofHost, files: files, on: machine)).reduce
        }
        let sums = try seconds(16, ofHost: 8) { $0.reduce = 1e6 }, copies = try seconds(16, ofHost: 8) { $0.broadcast = 1e6 }
        #expect(sums > 1 && copies > 1)
        // However many ranks are on each of 2 hosts, the links carry the same.
        for (ranks, ofHost) in [(2, 1), (4, 2), (64, 32)] {
            #expect(abs(try seconds(ranks, ofHost: ofHost) { $0.reduce = 1e6 } / sums - 1) < 1e-9)
            #expect(abs(try seconds(ranks, ofHost: ofHost) { $0.broadcast = 1e6 } / copies - 1) < 1e-9)
        }
        #expect(abs(try seconds(800, ofHost: 8) { $0.reduce = 1e6 } / sums - 2 * 0.99) < 1e-9)
        #expect(abs(try seconds(800, ofHost: 8) { $0.broadcast = 1e6 } / copies - 1) < 1e-9)
        // On one host nothing crosses a link, and with one rank on each nothing is added in memory.
        #expect(try seconds(8, ofHost: 8) { ($0.reduce, $0.broadcast) = (1, 1) } < 1e-9)
        #expect(try seconds(8, ofHost: 1) { ($0.reduceInHost, $0.broadcastInHost) = (1, 1) } < 1e-9)
        // The ranks of a host add to one Hessian and read one factor; only diagonals are added. They share the work of putting a sum in order.
        let diagonals = 2.0 * 8 * (3 * 256 + 704)
        #expect(abs(try seconds(8, ofHost: 8) { $0.reduceInHost = 1e6 } * 1e6 / diagonals - 1) < 1e-9)
        #expect(abs(try seconds(8, ofHost: 8) { $0.broadcastInHost = 1e6 } * 1e6 / diagonals - 1) < 1e-9)
        let ordering = try [1, 8].map { try seconds(8, ofHost: $0) { $0.permute = 1e6 } }
        #expect(ordering[1] > 0.5 && abs(ordering[0] / ordering[1] / 8 - 1) < 1e-9)
        // A profile of one rank on each host does not know a host's memory.
        var machine = profile(ranks: 2) { ($0.reduce, $0.broadcast, $0.exchange) = (1e9, 1e9, 1e9) }
        machine.hosts = 2
        #expect(plan.prediction(ranks: 4, files: files, on: machine) != nil && plan.prediction(ranks: 4, ranksOfHost: 2, files: files, on: machine) == nil)
    }

    /// The tokens of a host's ranks share its link: as much passes it however many ranks it has.
    @Test func tokensToExpertsShareTheLink() throws {
        let json = """
            {"model_type": "mixtral", "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 4,
             "vocab_size": 1000, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu", "num_local_experts": 8, "num_experts_per_tok": 2}
            """
        let plan = try plan("", Architecture(configuration: Data(json.utf8), source: "config.json"))
        func seconds(_ ranks: Int, ofHost: Int) throws -> Double {
            var machine = profile(ranks: 16) {
                ($0.reduce, $0.broadcast, $0.exchange, $0.reduceInHost, $0.broadcastInHost) = (1e30, 1e30, 1e6, 1e30, 1e30)
            }
            machine.hosts = 2
            return try #require(plan.prediction(ranks: ranks, ranksOfHost: ofHost, files: files, on: machine)).exchange
        }
        let base = try seconds(16, ofHost: 8)
        // 37 x 512 tokens for 2 of 8 experts each, half of them on the other host; 2 + 4 bytes a number, and one step more than the 2.3 that 4736 tokens are.
        let steps = 4736.0 / 2048
        #expect(abs(base / (37 * 512 * 2 * 256 * (2 + 4) / 16 / 2 * (steps + 1) / steps / 1e6) - 1) < 1e-6, "\(base)")
        #expect(try abs(seconds(32, ofHost: 16) / base - 1) < 1e-6 && abs(seconds(2, ofHost: 1) / base - 1) < 1e-6)
        #expect(try abs(seconds(800, ofHost: 8) / (base * 16 / 800 * 0.99 / 0.5) - 1) < 1e-6)
        // Memory alone.
        #expect(try seconds(8, ofHost: 8) < 1e-6)
    }

    @Test func moreRanksTakeLessTime() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2816))
        // 10 batches: the busiest of 4 ranks has 3.
        let one = try #require(plan.prediction(ranks: 1, files: files, on: connected()))
        let four = try #require(plan.prediction(ranks: 4, files: files, on: connected()))
        #expect(four.factor < one.factor && four.forward < 0.4 * one.forward)
        // 16 tiles of 192 rows and the like: the busiest of 4 ranks has a quarter, or one tile more.
        #expect(four.solve < 0.35 * one.solve)
    }

    /// Where ranks and threads are more than a stage's tiles, and more than the batches, more of them gain nothing.
    @Test func tilesAndBatchesBoundWhatIsGained() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2816))
        let hundred = try #require(plan.prediction(ranks: 100, files: files, on: connected()))
        let thousand = try #require(plan.prediction(ranks: 1000, files: files, on: connected()))
        #expect(thousand.solve >= 0.999 * hundred.solve && thousand.forward == hundred.forward && thousand.hessian == hundred.hessian)
        // The same rate of a rank, and one tile for it, whose products its threads share four at a time: more than a thread's time, less than that of eight.
        let idle = try #require(
            plan.prediction(ranks: 1000, files: FileVolumes(sourceBytes: 0, outputBytes: 0, outputFiles: 1, bitsPerWeight: 0), on: connected(threads: 8)))
        #expect(idle.solve > 1.9 * thousand.solve && idle.solve < 4 * thousand.solve, "\(idle.solve) \(thousand.solve)")
    }

    /// A tile of long rows is solved by several threads.
    @Test func threadsShareTheProductsOfLongRows() throws {
        let plan = try plan("", llama(hidden: 16384, intermediate: 53248))
        let one = try #require(plan.prediction(ranks: 1000, files: files, on: connected()))
        // The same rate of a rank: each thread has an eighth of it.
        let eight = try #require(plan.prediction(ranks: 1000, files: files, on: connected(threads: 8)))
        #expect(eight.solve > one.solve && eight.solve < 3 * one.solve, "\(eight.solve) \(one.solve)")
    }

    @Test func profilesComeBackAndDamagedOnesAreRefused() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("profile-\(UUID().uuidString).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func refusal() -> String { #expect(throws: ProfileError.self) { try MachineProfile.read(path) }?.description ?? "" }
        #expect(refusal().contains("cannot read"))
        try JSONEncoder().encode(profile()).write(to: URL(fileURLWithPath: path))
        #expect(try MachineProfile.read(path) == profile())
        try Data("{}".utf8).write(to: URL(fileURLWithPath: path))
        #expect(refusal().contains("no machine profile"))
        try JSONEncoder().encode(profile { $0.solveFloat = 0 }).write(to: URL(fileURLWithPath: path))
        #expect(refusal().contains("the rate `solveFloat` is 0"))
        try JSONEncoder().encode(profile(ranks: 0)).write(to: URL(fileURLWithPath: path))
        #expect(refusal().contains("0 ranks on 1 hosts"))
    }
}
