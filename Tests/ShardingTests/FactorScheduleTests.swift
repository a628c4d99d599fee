// The order in time of a factorisation over ranks: what it comes to where one thing takes all the time, and against a simulation tile by tile.

import Sharding
import Testing

@Suite struct FactorScheduleTests {
    private func operations(_ columns: Int) -> Double { Double(columns) * Double(columns) * Double(columns) / 3 }

    @Test(arguments: [1, 255, 256, 257, 1000, 4096, 16384])
    func aloneItIsTheArithmetic(columns: Int) {
        let schedule = FactorSchedule(columns: columns, ranks: 1, threads: 1), exact = operations(columns)
        #expect(abs(schedule.busiest - exact) <= 1e-9 * exact + 1)
        #expect(abs(schedule.seconds(perOperation: 2) { _ in 0 } - 2 * exact) <= 2e-9 * exact + 2)
    }

    @Test(arguments: [1, 2, 3, 7, 64], [256, 4000, 16384])
    func copiesFollowEachOther(ranks: Int, columns: Int) {
        let panels = (columns + 255) / 256
        let schedule = FactorSchedule(columns: columns, ranks: ranks, threads: 1)
        #expect(abs(schedule.seconds(perOperation: 0) { Double($0 + 1) } - Double(panels * (panels + 1) / 2)) < 1e-9)
    }

    @Test(arguments: [2, 3, 4, 16], [4096, 5000, 16384])
    func copiesGoOnBesideUpdates(ranks: Int, columns: Int) {
        let schedule = FactorSchedule(columns: columns, ranks: ranks, threads: 1), panels = Double((columns + 255) / 256)
        // A tenth of the arithmetic goes into copies.
        let copies = schedule.busiest / 10
        let seconds = schedule.seconds(perOperation: 1) { _ in copies / panels }
        #expect(seconds >= schedule.busiest)
        #expect(seconds <= (1 + 1e-9) * (schedule.seconds(perOperation: 1) { _ in 0 } + copies))
        // With several panels for each rank nearly all of the copies goes on beside the updates.
        if panels >= 8 * Double(ranks) { #expect(seconds < 1.15 * schedule.busiest, "\(seconds / schedule.busiest)") }
    }

    /// Every tile is an event: it begins when its rank is free and what it takes is there. Ranks do what the next panel needs first.
    @Test(arguments: [2, 3, 4, 7, 16, 64], [1024, 4096, 8192])
    func waitingIsThatOfASimulationByTiles(ranks: Int, columns: Int) {
        let panels = columns / 256, tile = 256.0 * 256 * 256, copy = 40 * tile
        var free = [Double](repeating: 0, count: ranks)
        var arrival = 0.0
        for panel in 0..<panels {
            let owner = panel % ranks
            // Taking the panel before it from this one, the tile on the diagonal, and those below it.
            if panel > 0 {
                for row in panel..<panels { free[owner] += row == panel ? tile : 2 * tile }
            }
            free[owner] += tile / 3 + Double(panels - panel - 1) * tile
            let begin = free.max()!
            // Meanwhile the panel before is taken from all that come later.
            if panel > 0 {
                for later in panel + 1..<max(panels, panel + 1) {
                    for row in later..<panels { free[later % ranks] += row == later ? tile : 2 * tile }
                }
            }
            arrival = begin + copy
            for rank in free.indices { free[rank] = max(free[rank], arrival) }
        }
        let schedule = FactorSchedule(columns: columns, ranks: ranks, threads: 1)
        let seconds = schedule.seconds(perOperation: 1) { _ in copy }
        #expect(abs(seconds - arrival) < 1e-6 * arrival, "\(seconds) \(arrival)")
    }

    @Test(arguments: [(4, 2), (8, 4), (16, 8), (64, 8)], [4096, 16384])
    func ranksOfAHostShareTheirPanels(size: (ranks: Int, ofHost: Int), columns: Int) {
        let shared = FactorSchedule(columns: columns, ranks: size.ranks, threads: 1, ranksOfHost: size.ofHost, sharesPanels: true)
        let own = FactorSchedule(columns: columns, ranks: size.ranks, threads: 1, ranksOfHost: size.ofHost)
        let hosts = FactorSchedule(columns: columns, ranks: size.ranks / size.ofHost, threads: size.ofHost)
        #expect(shared.busiest <= own.busiest && abs(shared.busiest * Double(size.ofHost) - hosts.busiest) < 1e-9 * hosts.busiest)
        #expect(shared.seconds(perOperation: 1) { _ in 0 } < own.seconds(perOperation: 1) { _ in 0 })
        #expect(shared.seconds(perOperation: 1) { _ in 0 } >= shared.busiest)
    }

    @Test func threadsWithoutTilesIdle() {
        let one = FactorSchedule(columns: 4096, ranks: 16, threads: 1), many = FactorSchedule(columns: 4096, ranks: 16, threads: 64)
        // Of 64 threads at most 16 have a tile of a panel.
        #expect(many.seconds(perOperation: 1) { _ in 0 } > 4 * one.seconds(perOperation: 1) { _ in 0 } && many.busiest == one.busiest)
    }
}
