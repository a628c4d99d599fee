// The order in time of a factorisation over ranks, against a simulation step by step.

import Sharding
import Testing

@Suite struct FactorScheduleTests {
    @Test(arguments: [1, 255, 256, 257, 1000, 4096, 16384])
    func aloneTheCriticalPathIsAllOfIt(columns: Int) {
        let schedule = FactorSchedule(columns: columns, ranks: 1, threads: 1)
        let exact = Double(columns) * Double(columns) * Double(columns) / 3
        #expect(abs(schedule.busiest - exact) <= 1e-9 * exact + 1)
        #expect(abs(schedule.critical - exact) <= 1e-9 * exact + 1)
    }

    /// Every rank has a clock; a panel is known to all when its owner has factored it.
    @Test(arguments: [2, 3, 4, 7, 16, 64], [1000, 4096, 5000])
    func waitingIsThatOfASimulation(ranks: Int, columns: Int) {
        let panels = stride(from: 0, to: columns, by: 256).map { (start: $0, width: Double(min(256, columns - $0))) }
        var clocks = [Double](repeating: 0, count: ranks)
        for (index, panel) in panels.enumerated() {
            let rows = Double(columns - panel.start)
            clocks[index % ranks] += panel.width * panel.width * panel.width / 3 + panel.width * panel.width * (rows - panel.width)
            let known = clocks[index % ranks]
            for rank in 0..<ranks {
                clocks[rank] = max(clocks[rank], known)
                for later in panels.indices where later > index && later % ranks == rank {
                    let target = panels[later]
                    clocks[rank] += 2 * panel.width * target.width * (Double(columns - target.start) - target.width / 2)
                }
            }
        }
        let schedule = FactorSchedule(columns: columns, ranks: ranks, threads: 1)
        let last = clocks.max() ?? 0
        // Panels of a short width at the end are the only thing that can differ.
        #expect(abs(schedule.critical - last) <= 0.01 * last, "\(schedule.critical) \(last)")
        #expect(schedule.busiest <= schedule.critical)
    }

    /// Every host has a clock; its ranks, of one thread each, take tiles of 256 x 256 in rounds.
    @Test(arguments: [(4, 2), (8, 4), (16, 8), (64, 8)], [4096, 16384])
    func ranksOfAHostShareTheirPanels(size: (ranks: Int, ofHost: Int), columns: Int) {
        let (hosts, tile) = (size.ranks / size.ofHost, 256.0), panels = columns / 256
        func rounds(_ tiles: Int) -> Double { Double((tiles + size.ofHost - 1) / size.ofHost) }
        var clocks = [Double](repeating: 0, count: hosts)
        for index in 0..<panels {
            clocks[index % hosts] += tile * tile * tile / 3 + rounds(panels - index - 1) * tile * tile * tile
            let known = clocks[index % hosts]
            for host in 0..<hosts {
                let tiles = (index + 1..<panels).filter { $0 % hosts == host }.reduce(0) { $0 + panels - $1 }
                clocks[host] = max(clocks[host], known) + rounds(tiles) * 2 * tile * tile * tile
            }
        }
        let schedule = FactorSchedule(columns: columns, ranks: size.ranks, threads: 1, ranksOfHost: size.ofHost, sharesPanels: true)
        let last = clocks.max() ?? 0
        // Of the tiles on the diagonal only one half is updated.
        #expect(schedule.critical > 0.85 * last && schedule.critical < 1.01 * last, "\(schedule.critical) \(last)")
        let own = FactorSchedule(columns: columns, ranks: size.ranks, threads: 1, ranksOfHost: size.ofHost)
        #expect(schedule.busiest <= own.busiest && schedule.critical < own.critical && schedule.busiest <= schedule.critical)
    }

    @Test func threadsWithoutTilesIdle() {
        let one = FactorSchedule(columns: 4096, ranks: 16, threads: 1), many = FactorSchedule(columns: 4096, ranks: 16, threads: 64)
        // Of 64 threads at most 16 have a tile of a panel.
        #expect(many.critical > 4 * one.critical && many.busiest == one.busiest)
    }
}
