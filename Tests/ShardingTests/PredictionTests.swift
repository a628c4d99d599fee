// Predicted times: the costs at the measured rates.

import Foundation
import Sharding
import Testing

@Suite struct PredictionTests {
    private func profile(_ change: (inout MachineProfile.Rates) -> Void = { _ in }) -> MachineProfile {
        var rates = MachineProfile.Rates()
        (rates.productBFloat16, rates.productFloat, rates.gramBFloat16, rates.gramFloat, rates.factor, rates.solve) = (4e9, 2e9, 3e9, 1e9, 5e8, 2.5e8)
        (rates.diskRead, rates.diskWrite) = (1e8, 1e8)
        change(&rates)
        return MachineProfile(processor: "test", ranks: 2, hosts: 1, threads: 1, rates: rates)
    }

    @Test func arithmeticTakesItsTimeAtTheRates() throws {
        for (compute, product, gram) in [("bf16", 4e9, 3e9), ("f32", 2e9, 1e9)] {
            let plan = try plan("compute: \(compute)")
            let costs = plan.costs(ranks: 1)
            let prediction = try #require(plan.prediction(ranks: 1, sourceBytes: 100_000_000, on: profile()))
            #expect(prediction.forward == costs.forwardOperations / product)
            #expect(prediction.hessian == costs.hessianOperations / gram)
            #expect(abs(prediction.factor - costs.factorOperations / 5e8) <= 1e-9 * prediction.factor)
            #expect(prediction.solve == costs.solveOperations / 2.5e8)
            #expect(prediction.messages == 0 && prediction.files > 2)
            let parts = [prediction.forward, prediction.hessian, prediction.factor, prediction.solve, prediction.messages, prediction.files]
            #expect(abs(prediction.total - parts.reduce(0, +)) < 1e-9)
        }
    }

    @Test func messagesNeedToHaveBeenMeasured() throws {
        let plan = try plan()
        #expect(plan.prediction(ranks: 2, sourceBytes: 1, on: profile()) == nil)
        let slow = profile { ($0.reduce, $0.broadcast, $0.latency) = (1e6, 1e6, 1e-3) }, fast = profile { ($0.reduce, $0.broadcast, $0.latency) = (1e9, 1e9, 1e-6) }
        let (long, short) = (try #require(plan.prediction(ranks: 2, sourceBytes: 1, on: slow)), try #require(plan.prediction(ranks: 2, sourceBytes: 1, on: fast)))
        #expect(long.messages > 100 * short.messages && long.forward == short.forward)
        // 2 blocks of 3 stages of 256 columns and one of 704, in fp64 halves and fp32.
        let hessians = 2 * (3 * 256 * 256 + 704 * 704) * 8.0
        #expect(long.messages * 1e6 > hessians)
    }

    @Test func moreRanksTakeLessTime() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2816))
        let machine = profile { ($0.reduce, $0.broadcast, $0.latency) = (1e9, 1e9, 1e-6) }
        // 10 batches: the busiest of 4 ranks has 3.
        let (one, four) = (try #require(plan.prediction(ranks: 1, sourceBytes: 1, on: machine)), try #require(plan.prediction(ranks: 4, sourceBytes: 1, on: machine)))
        #expect(four.factor < one.factor && four.forward < 0.4 * one.forward && four.solve < 0.3 * one.solve)
    }

    @Test func profilesComeBackAndDamagedOnesAreRefused() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("profile-\(UUID().uuidString).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(#expect(throws: ProfileError.self) { try MachineProfile.read(path) }?.description.contains("cannot read") == true)
        try JSONEncoder().encode(profile()).write(to: URL(fileURLWithPath: path))
        #expect(try MachineProfile.read(path) == profile())
        try Data("{}".utf8).write(to: URL(fileURLWithPath: path))
        #expect(#expect(throws: ProfileError.self) { try MachineProfile.read(path) }?.description.contains("no machine profile") == true)
    }
}
