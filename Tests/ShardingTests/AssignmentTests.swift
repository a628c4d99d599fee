// Who does what, for any number of ranks.

import Recipes
import Sharding
import Testing
import Transformers

@Suite struct AssignmentTests {
    static let ranks = [1, 2, 3, 4, 7, 16, 100, 1000]

    @Test(arguments: ranks)
    func batchesAreDealtOnceAndEvenly(ranks: Int) throws {
        let (plan, assignment) = (try plan("", llama()), Assignment(ranks: ranks))
        let parts = (0..<ranks).map { assignment.batches(plan, of: $0) }
        #expect(parts.flatMap { Array($0) } == Array(plan.batches.indices))
        let counts = parts.map(\.count)
        #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
    }

    @Test(arguments: ranks)
    func tilesHaveOwnersInOrderAndInBalance(ranks: Int) throws {
        let assignment = Assignment(ranks: ranks)
        for stage in try plan("", llama(hidden: 1024, intermediate: 2816)).blocks[0].stages {
            let owners = assignment.owners(of: stage.tiles)
            #expect(owners.count == stage.tiles.count && owners == owners.sorted())
            #expect(owners.allSatisfy { (0..<ranks).contains($0) })
            var rows = [Int](repeating: 0, count: ranks)
            for (tile, owner) in zip(stage.tiles, owners) { rows[owner] += tile.rows.count }
            let (total, largest) = (rows.reduce(0, +), stage.tiles.map(\.rows.count).max() ?? 0)
            // No rank has more than its share and one tile.
            #expect(rows.allSatisfy { $0 * ranks <= total + largest * ranks })
            // With more ranks than tiles, no rank has two.
            if ranks >= 2 * stage.tiles.count { #expect(Set(owners).count == owners.count) }
        }
        #expect(assignment.owners(of: []).isEmpty)
    }

    @Test(arguments: ranks)
    func panelsAndFilesGoAround(ranks: Int) {
        let assignment = Assignment(ranks: ranks)
        #expect((0..<2 * ranks).map(assignment.panelOwner) == (0..<2).flatMap { _ in Array(0..<ranks) })
        // Hosts in turn, and ranks of each in turn; with hosts of unequal numbers, ranks in turn.
        for ranksOfHost in [2, 3, 8] {
            let owners = (0..<2 * ranks).map(Assignment(ranks: ranks, ranksOfHost: ranksOfHost).panelOwner)
            #expect(owners.prefix(ranks).sorted() == Array(0..<ranks) && owners.prefix(ranks) == owners.suffix(ranks))
            guard ranks % ranksOfHost == 0 else { continue }
            let hosts = ranks / ranksOfHost
            #expect(owners.map { $0 / ranksOfHost } == owners.indices.map { $0 % hosts })
        }
        #expect((0..<2 * ranks).map(assignment.writer) == (0..<2).flatMap { _ in Array(0..<ranks) })
    }
}

extension AssignmentTests {
    /// Every expert once; no rank has more than the mean and the largest.
    @Test(arguments: ranks)
    func expertsAreDealtOnceAndInBalance(ranks: Int) {
        let costs = (0..<60).map { Double(($0 * 37) % 23 + 1) }
        let owned = Assignment(ranks: ranks).experts(costs: costs)
        #expect(owned.count == ranks && owned.flatMap { $0 }.sorted() == Array(0..<60))
        let loads = owned.map { $0.reduce(0) { $0 + costs[$1] } }
        #expect((loads.max() ?? 0) <= costs.reduce(0, +) / Double(ranks) + 23)
        // Those that cost most come first, so that ranks have alike ones at a time.
        #expect(owned.allSatisfy { experts in zip(experts, experts.dropFirst()).allSatisfy { costs[$0] >= costs[$1] } })
    }
}

@Suite struct CostsTests {
    @Test func moreRanksDoLessEach() throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2816, blocks: 4))
        let costs = [1, 2, 4, 8].map { plan.costs(ranks: $0) }
        for (fewer, more) in zip(costs, costs.dropFirst()) {
            #expect(more.forwardOperations < fewer.forwardOperations && more.hessianOperations < fewer.hessianOperations)
            #expect(more.solveOperations < fewer.solveOperations && more.memory <= fewer.memory)
            #expect(more.partialFiles >= fewer.partialFiles)
        }
        let alone = costs[0]
        let weights = plan.compressedLinears.reduce(0.0) { $0 + Double($1.linear.rows * $1.linear.columns) }
        let tokens = 37.0 * 512
        #expect(alone.forwardOperations >= 2 * tokens * weights && alone.forwardOperations < 3 * tokens * weights)
        #expect(alone.bytesRead == 2 * weights && alone.partialFiles == 4)
        #expect(alone.bytesSent == 0)
    }

    /// A sum leaves each host but its owner's once, however many ranks the host has, and a factored panel leaves its owner once.
    @Test func hostsSendEachSumOnce() throws {
        let plan = try plan("compute: bf16", llama(hidden: 1024, intermediate: 2816, blocks: 4))
        func sent(_ ranks: Int, _ ranksOfHost: Int) -> Double { plan.costs(ranks: ranks, ranksOfHost: ranksOfHost).bytesBetweenHosts }
        let triangles: Double = 3 * 1024 * 1025 / 2 + 2816 * 2817 / 2
        let sums = 8 * 4 * triangles
        #expect(sent(16, 16) == 0 && sent(1, 1) == 0)
        // The rest is as for 2 hosts: copies, tiles, and small numbers of all ranks.
        for (ranksOfHost, hosts) in [(4, 4.0), (2, 8.0), (1, 16.0)] {
            let more = sent(16, ranksOfHost) - sent(16, 8)
            #expect(abs(more / ((hosts - 2) * sums) - 1) < 1e-9)
        }
        #expect(sent(16, 8) > 1.5 * sums && sent(16, 8) < 2 * sums)
        // The rank that sends the most sends less where its host has more.
        let most = [1, 2, 4].map { plan.costs(ranks: 16, ranksOfHost: $0).bytesSent }
        #expect(most[0] > most[1] && most[1] > most[2])
    }

    /// All factorisations together, whoever does them.
    @Test(arguments: [1, 2, 3, 4, 5, 8])
    func everyFactorisationIsCounted(ranks: Int) throws {
        let plan = try plan("", llama(hidden: 1024, intermediate: 2816, blocks: 8))
        let total = plan.costs(ranks: 1).factorOperations
        #expect(abs(total - 8 * (3 * pow3(1024) + pow3(2816)) / 3) < 1e-3 * total)
        let costs = plan.costs(ranks: ranks).factorOperations
        // The busiest rank has at least an even share, and not much more: the last panels are the least work.
        #expect(costs >= total / Double(ranks) * 0.999 && costs <= total / Double(ranks) * 1.8)
        for columns in [1, 255, 256, 257, 1000, 4096] {
            let parts = (0..<ranks).map { Assignment(ranks: ranks).factorOperations(columns: columns, of: $0) }
            #expect(abs(parts.reduce(0, +) - pow3(Double(columns)) / 3) <= 1e-9 * pow3(Double(columns)) + 1)
        }
    }

    @Test func sizesOfATrillionParametersFit() throws {
        let plan = try plan("", llama(hidden: 65536, intermediate: 262_144, blocks: 16))
        let costs = plan.costs(ranks: 64)
        #expect(costs.memory > 0 && costs.solveOperations.isFinite && costs.solveOperations > 0)
    }

    private func pow3(_ value: Double) -> Double { value * value * value }
}
