// Ranks that run a stage forward together: which may, what each holds and does.

import Sharding
import Testing
import Transformers

@Suite struct TensorParallelTests {
    private let base = 50 << 20

    private func wide() throws -> Plan { try plan("", llama(hidden: 8192, intermediate: 28672)) }

    @Test func groupsAreEqualAndOnOneNode() throws {
        try TensorParallel.check(2, ranks: 6, nodes: [0, 0, 2, 2, 4, 4])
        try TensorParallel.check(3, ranks: 6, nodes: nil)
        let divisor = #expect(throws: TensorParallelError.self) { try TensorParallel.check(4, ranks: 6, nodes: nil) }
        #expect(divisor?.description.contains("(1, 2, 3, 6)") == true)
        let apart = #expect(throws: TensorParallelError.self) { try TensorParallel.check(3, ranks: 6, nodes: [0, 0, 2, 2, 4, 4]) }
        #expect(apart?.description.contains("rank 0 and rank 2") == true)
        #expect(throws: TensorParallelError.self) { try TensorParallel.check(0, ranks: 6, nodes: nil) }
    }

    /// Every piece belongs to one member of a group, and every rank to one group.
    @Test(arguments: [1, 2, 3, 4, 8, 16])
    func everyPieceHasOneMember(size: Int) throws {
        let assignment = Assignment(ranks: 3 * size, groupSize: size)
        for stage in try wide().blocks[0].stages.map(\.stage) {
            for group in 0..<3 {
                let ranks = assignment.group(of: group * size)
                #expect(ranks == group * size..<(group + 1) * size && ranks.allSatisfy { assignment.group(of: $0) == ranks })
                #expect(ranks.flatMap { Array(assignment.pieces(stage, of: $0)) } == Array(stage.pieces.indices))
            }
        }
    }

    /// The weights of gate and up are most of what the forward pass holds: each doubling of the group takes half of them away.
    @Test func eachMemberHoldsItsShareOfTheWeights() throws {
        let plan = try wide()
        func forward(_ size: Int) throws -> Int {
            let memory = try plan.memoryPlan(ranks: 8, threads: 1, base: base, limit: .none, tensorParallel: size)
            #expect(memory.tensorParallel == size)
            return try #require(memory.phases.first { $0.name == "forward" }).bytes
        }
        let weights = 2 * 8192 * 28672 * 2
        let (one, two, four) = (try forward(1), try forward(2), try forward(4))
        #expect(one - two > weights / 2 - (1 << 30) / 4 && one > weights)
        #expect(two - four > weights / 4 - (1 << 30) / 8)
    }

    /// The smallest group that keeps the limit, and never one that reaches over nodes.
    @Test func aPlanChoosesTheSmallestGroupThatFits() throws {
        let plan = try wide()
        func least(_ size: Int) throws -> Int {
            let shortage = #expect(throws: MemoryShortage.self) {
                try plan.memoryPlan(ranks: 16, threads: 1, base: base, limit: .rank(1 << 20), tensorParallel: size)
            }
            return try #require(shortage?.remedies.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }) << 20
        }
        let leasts = try [1, 2, 4].map(least)
        #expect(leasts == leasts.sorted(by: >) && Set(leasts).count == 3, "\(leasts)")
        for (size, limit) in zip([1, 2, 4], leasts) {
            let memory = try plan.memoryPlan(ranks: 16, threads: 1, base: base, limit: .rank(limit))
            #expect(memory.tensorParallel == size && memory.bound <= limit)
        }
        #expect(try plan.memoryPlan(ranks: 16, threads: 1, base: base, limit: .none).tensorParallel == 1)
        // Nodes of two ranks: groups of two at the most, and a remedy where the user's own choice is too small.
        let nodes = (0..<16).map { $0 / 2 * 2 }
        #expect(try plan.memoryPlan(ranks: 16, threads: 1, base: base, limit: .rank(leasts[1]), nodes: nodes).tensorParallel == 2)
        #expect(throws: MemoryShortage.self) { try plan.memoryPlan(ranks: 16, threads: 1, base: base, limit: .rank(leasts[2]), nodes: nodes) }
        let shortage = #expect(throws: MemoryShortage.self) {
            try plan.memoryPlan(ranks: 16, threads: 1, base: base, limit: .rank(leasts[1]), tensorParallel: 1)
        }
        #expect(shortage?.remedies.contains("--tensor-parallel 2") == true)
    }

    /// Ranks beyond the number of batches have work, and what they send is counted.
    @Test func ranksWithoutBatchesHelp() throws {
        let plan = try plan("", llama(hidden: 8192, intermediate: 28672))
        func costs(_ size: Int) throws -> Costs {
            plan.costs(ranks: 32, memory: try plan.memoryPlan(ranks: 32, threads: 1, base: base, limit: .none, tensorParallel: size))
        }
        // 10 batches on 32 ranks: 2 in the busiest group of 4.
        let (alone, together) = (try costs(1), try costs(4))
        #expect(abs(together.forwardOperations / alone.forwardOperations - 2.0 / 4) < 0.02)
        #expect(abs(together.hessianOperations / alone.hessianOperations - 2.0 / 4) < 1e-9)
        #expect(together.bytesSent > alone.bytesSent)
    }

    /// Where there are several ranks for each of 10 batches, so many share one; never more than a plan may choose, or than a node has.
    @Test(arguments: [(8, 1), (19, 1), (20, 2), (30, 3), (32, 2), (64, 4), (80, 8), (1024, 8)])
    func ranksBeyondTheBatchesShareThem(ranks: Int, size: Int) throws {
        let plan = try plan("")
        #expect(try plan.memoryPlan(ranks: ranks, threads: 1, limit: .none).tensorParallel == size)
        #expect(try plan.memoryPlan(ranks: ranks, threads: 1, limit: .none, nodes: Array(0..<ranks)).tensorParallel == 1)
        #expect(try plan.memoryPlan(ranks: ranks, threads: 1, limit: .none, tensorParallel: 1).tensorParallel == 1)
    }
}
