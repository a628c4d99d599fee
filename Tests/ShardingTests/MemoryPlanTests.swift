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
        let memory = try wide().memoryPlan(ranks: 4, threads: 1, base: base, limit: .none)
        #expect(memory.keepsActivations && memory.stages.allSatisfy { $0.allSatisfy { $0 == .whole } })
        #expect(memory.phases.map(\.name) == ["embed", "Hessian", "factor", "solve", "forward", "merge"])
        // The upper halves of the Hessian's sum and of R, each of a whole stage.
        #expect(memory.bound > 6 * 16384 * 16384)
        #expect(try wide().memoryPlan(ranks: 4, threads: 1, base: base, limit: .rank(memory.bound)).stages == memory.stages)
    }

    /// Smaller limits are kept as long as possible, and each is refused with remedies that do fit.
    @Test(arguments: [false, true]) func everyLimitIsKeptOrRefused(ofHost: Bool) throws {
        let plan = try wide()
        func kept(_ bytes: Int, ranks: Int = 4, more: Int = 0) throws(MemoryShortage) -> MemoryPlan {
            try plan.memoryPlan(ranks: ranks, threads: 1, base: base + more, limit: ofHost ? .host(bytes) : .rank(bytes))
        }
        func bytes(_ memory: MemoryPlan) -> Int { ofHost ? memory.host.bytes : memory.bound }
        let whole = bytes(try plan.memoryPlan(ranks: 4, threads: 1, base: base, limit: .none))
        var limit = whole - 1
        var picks = 0
        var refusal: MemoryShortage?
        while refusal == nil {
            do {
                let memory = try kept(limit)
                #expect(bytes(memory) <= limit)
                #expect(memory.stages != Array(repeating: [.whole, .whole, .whole, .whole], count: 2))
                picks += 1
                limit = limit / 16 * 15
            } catch {
                refusal = error
            }
        }
        let shortage = try #require(refusal)
        #expect(shortage.remedies.first?.hasPrefix(ofHost ? "memory_per_host: " : "memory_per_rank: ") == true)
        #expect(shortage.description.contains(ofHost ? " of a host of 4 ranks, at the least" : " of a rank, at the least"), "\(shortage)")
        // The limit that the refusal names is enough, and would be for processes that hold a few MiB more as they begin.
        let least = try #require(shortage.remedies.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }) << 20
        for more in [0, 4 << 20] { #expect(try bytes(kept(least, more: more)) <= least) }
        #expect(picks > 5 && least < (ofHost ? 4 * 670 : 670) << 20, "\(least >> 20) MiB")
        if let ranks = shortage.remedies.first(where: { $0.hasSuffix(" ranks") }).flatMap({ Int($0.split(separator: " ")[0]) }) {
            for more in [0, 4 << 20] { #expect(try bytes(kept(limit, ranks: ranks, more: more)) <= limit) }
        }
    }

    /// A file for the activations is a remedy where it suffices, for processes that hold a few MiB more as they begin, too.
    @Test func activationsInAFileAreNamedWhereTheySuffice() throws {
        let plan = try wide()
        func memory(_ bytes: Int, keepsActivations: Bool, more: Int = 0) throws(MemoryShortage) -> MemoryPlan {
            try plan.memoryPlan(ranks: 1, threads: 1, base: base + more, limit: .rank(bytes), keepsActivations: keepsActivations)
        }
        let kept = try #require(#expect(throws: MemoryShortage.self) { try memory(1 << 20, keepsActivations: true) }).phase.bytes
        var named = 0
        for limit in stride(from: kept - 1, to: 0, by: -(1 << 20)) {
            guard case .failure(let shortage) = Result(catching: { () throws(MemoryShortage) in try memory(limit, keepsActivations: true) }) else { continue }
            let room = Result { () throws(MemoryShortage) in try memory(limit, keepsActivations: false, more: 4 << 20) }
            #expect(shortage.remedies.contains("--activations scratch") == ((try? room.get()) != nil), "\(limit >> 20) MiB")
            guard (try? room.get()) != nil else { break }
            named += 1
        }
        #expect(named > 0)
    }

    /// What ranks share counts once against the limit of a host, where each rank counts it in full against its own.
    @Test func aHostMayHoldLessThanItsRanksCount() throws {
        let plan = try wide()
        func memory(_ limit: MemoryLimit, ranksOfHost: Int = 4) throws -> MemoryPlan {
            try plan.memoryPlan(ranks: 4, threads: 1, base: base, limit: limit, ranksOfHost: ranksOfHost)
        }
        let free = try memory(.none)
        #expect(free.host.ranks == 4 && free.host.bytes < 4 * free.bound / 3 * 2 && free.host.phase.stage == "down")
        #expect(try memory(.host(free.host.bytes)).stages == free.stages)
        #expect(try memory(.rank(free.host.bytes / 4)).stages != free.stages)
        // Both limits at once: each decides where it is the smaller.
        let both = try memory(MemoryLimit(rank: free.bound, host: free.host.bytes / 4 * 3))
        #expect(both.host.bytes <= free.host.bytes / 4 * 3 && both.stages != free.stages)
        let tight = #expect(throws: MemoryShortage.self) { try memory(MemoryLimit(rank: 1 << 20, host: free.host.bytes)) }
        #expect(tight?.key == "memory_per_rank" && tight?.limit == 1 << 20)
        // Fewer ranks on each host are a remedy where the ranks of one are too many.
        let least = try #require(#expect(throws: MemoryShortage.self) { try memory(.host(1 << 20)) }).phase.bytes
        let crowded = #expect(throws: MemoryShortage.self) { try memory(.host(least - (1 << 20))) }
        #expect(crowded?.remedies.contains("4 ranks with 2 on a host") == true, "\(crowded?.remedies ?? [])")
        #expect(try memory(.host(least - (1 << 20)), ranksOfHost: 2).host.bytes < least)
    }

    @Test func depthDoesNotMatter() throws {
        let limit = 700 << 20
        let bounds = try [2, 20].map { try wide(blocks: $0).memoryPlan(ranks: 4, threads: 1, base: base, limit: .rank(limit)) }
        #expect(bounds[0].phases == bounds[1].phases && bounds[0].stages[0] == bounds[1].stages[19])
    }

    @Test func activationsGiveWayLast() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2048))
        let kept = try plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: .none)
        let scratch = try plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: .none, keepsActivations: false)
        #expect(!scratch.keepsActivations && scratch.bound < kept.bound)
        #expect(try !plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: .rank(scratch.bound)).keepsActivations)
        #expect(throws: MemoryShortage.self) { try plan.memoryPlan(ranks: 1, threads: 1, base: base, limit: .rank(scratch.bound), keepsActivations: true) }
    }

    /// Llama-3.1-405B's shapes at 64 ranks: a rank holds a part of a Hessian of 53248 columns.
    @Test func hessiansLargerThanARank() throws {
        let plan = try plan("", llama(hidden: 16384, intermediate: 53248))
        let memory = try plan.memoryPlan(ranks: 64, threads: 1, limit: .rank(6 << 30))
        let down = try #require(memory.stages[0].last)
        #expect(down.hessianBlocks.map { $0 < 53248 / 512 } == true && !down.completeFactor)
        #expect(memory.bound <= 6 << 30 && memory.bound < 6 * 53248 * 53248)
    }
}
