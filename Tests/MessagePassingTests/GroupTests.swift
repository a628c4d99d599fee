// Groups of some ranks, and messages between two.

import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct Groups {
        private let world = TestWorld.world

        /// Groups of two consecutive ranks work side by side, and their bytes count with those of the world.
        @Test func consecutiveRanksMakeAGroup() throws {
            let world = try TestWorld.world.cutting(every: 3)
            let group = try world.split(part: world.rank / 2)
            let first = world.rank / 2 * 2
            #expect(group.rank == world.rank - first && group.size == min(2, world.size - first))
            var sum = [Double](repeating: Double(world.rank), count: 10)
            try group.allReduceSum(&sum)
            #expect(sum == Array(repeating: group.size == 1 ? Double(first) : Double(2 * first + 1), count: 10))
            #expect(world.bytesSent == (group.size == 1 ? 0 : 80) && group.bytesSent == world.bytesSent)
        }

        @Test(arguments: worlds, Reductions.lengths)
        func oneRankSendsToAnother(cut: Cut, length: Int) throws {
            let world = try cut.world
            for (source, destination) in [(0, world.size - 1), (world.size - 1, 0)] where source != destination {
                var buffer = (0..<length).map { Int32(value(world.rank, $0)) }
                try buffer.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in
                    if world.rank == source { try world.send(buffer, to: destination) }
                    if world.rank == destination { try world.receive(buffer, from: source) }
                }
                #expect(buffer == (0..<length).map { Int32(value(world.rank == destination ? source : world.rank, $0)) })
            }
        }

        @Test func oneExceptionIsKnownToAll() throws {
            #expect(try world.all(true))
            #expect(try !world.all(world.rank != world.size - 1))
        }

        /// Each rank is on the node of the rank that it names, which names itself.
        @Test func nodesAreNumberedByTheirFirstRanks() throws {
            let nodes = world.nodes
            #expect(nodes.count == world.size && nodes[0] == 0)
            for (rank, node) in nodes.enumerated() { #expect(node <= rank && nodes[node] == node) }
            let own = try world.splitByNode()
            #expect(nodes.count { $0 == nodes[world.rank] } == own.size)
        }
    }
}
