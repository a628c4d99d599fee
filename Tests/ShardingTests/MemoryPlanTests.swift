// What is kept in memory under a limit.

import Sharding
import Testing
import Transformers

@Suite struct MemoryPlanTests {
    private let base = 50 << 20

    private func wide(blocks: Int = 2) throws -> Plan {
        try plan("", llama(hidden: 1024, intermediate: 16384, blocks: blocks))
    }

    @Test func withoutALimitEverythingIsKept() throws {
        let memory = try wide().memoryPlan(ranks: 4, threads: 1, base: base, limit: nil)
        #expect(memory.keepsActivations && memory.stages.allSatisfy { $0.allSatisfy { $0 == .whole } })
        #expect(memory.phases.map(\.name) == ["embed", "Hessian", "factor", "solve", "forward", "merge"])
        // The upper halves of the Hessian's sum and of R, each of a whole stage.
        #expect(memory.bound > 6 * 16384 * 16384)
        #expect(try wide().memoryPlan(ranks: 4, threads: 1, base: base, limit: memory.bound).stages == memory.stages)
    }

    /// Smaller limits are kept as long as possible, and each is refused with remedies that do fit.
    @Test func everyLimitIsKeptOrRefused() throws {
        let plan = try wide()
        let whole = try plan.memoryPlan(ranks: 4, threads: 1, base: base, limit: nil).bound
        var limit = whole - 1
        var picks = 0
        var refusal: MemoryShortage?
        while refusal == nil {
            do {
                let memory = try plan.memoryPlan(ranks: 4, threads: 1, base: base, limit: limit)
                #expect(memory.bound <= limit)
                #expect(memory.stages != Array(repeating: [.whole, .whole, .whole, .whole], count: 2))
                picks += 1
                limit = limit / 8 * 7
            } catch {
                refusal = error
            }
        }
        let shortage = try #require(refusal)
        #expect(shortage.remedies.first?.hasPrefix("memory_per_rank: ") == true)
        // The least limit that the refusal names is enough, and less is not.
        let least = try #require(shortage.remedies.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }) << 20
        #expect(try plan.memoryPlan(ranks: 4, threads: 1, base: base, limit: least).bound <= least)
        #expect(picks > 5 && least < 670 << 20, "\(least >> 20) MiB")
        if let ranks = shortage.remedies.first(where: { $0.hasSuffix(" ranks") }).flatMap({ Int($0.split(separator: " ")[0]) }) {
            #expect(try plan.memoryPlan(ranks: ranks, threads: 1, base: base, limit: limit).bound <= limit)
        }
    }

    @Test func depthDoesNotMatter() throws {
        let limit = 700 << 20
        let bounds = try [2, 20].map { try wide(blocks: $0).memoryPlan(ranks: 4, threads: 1, base: base, limit: limit) }
        #expect(bounds[0].phases == bounds[1].phases && bounds[0].stages[0] == bounds[1].stages[19])
    }

    @Test func activationsGiveWayLast() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2048))
        let kept = try plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: nil)
        let scratch = try plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: nil, keepsActivations: false)
        #expect(!scratch.keepsActivations && scratch.bound < kept.bound)
        #expect(try !plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: scratch.bound).keepsActivations)
        #expect(throws: MemoryShortage.self) { try plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: scratch.bound, keepsActivations: true) }
    }

    /// Llama-3.1-405B's shapes at 64 ranks: a rank holds a part of a Hessian of 53248 columns.
    @Test func hessiansLargerThanARank() throws {
        let plan = try plan("", llama(hidden: 16384, intermediate: 53248))
        let memory = try plan.memoryPlan(ranks: 64, threads: 1, limit: 6 << 30)
        let down = try #require(memory.stages[0].last)
        #expect(down.hessianBlocks.map { $0 < 53248 / 512 } == true && !down.completeFactor)
        #expect(memory.bound <= 6 << 30 && memory.bound < 6 * 53248 * 53248)
    }
}
