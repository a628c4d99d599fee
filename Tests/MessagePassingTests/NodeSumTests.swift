// Sums that go by node first, and copies to one rank of each node: on one node, and on the same ranks as if they lay on several.

import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct NodeSums {
        enum Place: String, CaseIterable, Sendable {
            /// Where the ranks are; alone; in pairs; three and the rest; every second one.
            case asTheyAre, alone, pairs, threes, inTurn

            func groups() throws -> NodeGroups {
                let world = TestWorld.world
                return switch self {
                case .asTheyAre: try NodeGroups(world)
                case .alone: try NodeGroups(world.placed { $0 })
                case .pairs: try NodeGroups(world.placed { $0 / 2 })
                case .threes: try NodeGroups(world.placed { $0 / 3 })
                case .inTurn: try NodeGroups(world.placed { $0 % 2 })
                }
            }
        }

        /// Rows of 0, 1, 2, ... values, so that slices and pieces end anywhere; what is taken stays here.
        private final class Rows: Summand {
            let isOfNode: Bool
            let starts: [Int]
            let rank: Int
            let number: Int
            var taken: [Double?]

            /// - Parameter isOfNode: whether `rank` is the number of a node, whose ranks all have these values.
            init(rows: Int, rank: Int, number: Int, isOfNode: Bool = false) {
                self.isOfNode = isOfNode
                starts = (0..<rows).reduce(into: [0]) { $0.append($0.last! + $1 % 7) }
                (self.rank, self.number) = (rank, number)
                taken = Array(repeating: nil, count: starts.last!)
            }

            func value(_ rank: Int, _ index: Int) -> Double { Double((rank + 1) * 1000 + index) * Double(number + 1) }

            func add(_ rows: Range<Int>, to values: UnsafeMutablePointer<Double>, isFirst: Bool) {
                for index in starts[rows.lowerBound]..<starts[rows.upperBound] {
                    let place = values + (index - starts[rows.lowerBound])
                    place.pointee = (isFirst ? 0 : place.pointee) + value(rank, index)
                }
            }

            func take(_ rows: Range<Int>, _ sums: UnsafeMutablePointer<Double>) {
                for index in starts[rows.lowerBound]..<starts[rows.upperBound] {
                    #expect(taken[index] == nil, "value \(index) came twice")
                    taken[index] = sums[index - starts[rows.lowerBound]]
                }
            }
        }

        /// In memory for a few rows, for some, and for all; one sum and many.
        @Test(arguments: Place.allCases, [(64, 1), (64, 23), (512, 9), (1 << 16, 23)])
        func sumsReachTheirOwners(place: Place, size: (values: Int, sums: Int)) throws {
            let groups = try place.groups(), world = groups.world
            let sum = try NodeSum(groups, byteCount: 2 * 8 * size.values, atOnce: 3)
            // The memory serves more than once.
            for round in 0..<2 {
                let owners = (0..<size.sums).map { ($0 * 5 + round) % world.size }
                var own: [Int: Rows] = [:]
                try sum.add(owners) { number in
                    let rows = Rows(rows: 50 + number, rank: world.rank, number: number)
                    own[number] = rows
                    return rows
                }
                #expect(own.count == size.sums)
                for (number, rows) in own {
                    let isOwner = owners[number] == world.rank
                    let expected = rows.taken.indices.map { index in isOwner ? (0..<world.size).reduce(0.0) { $0 + rows.value($1, index) } : nil }
                    #expect(rows.taken == expected, "\(place) sum \(number)")
                }
            }
        }

        /// What the ranks of a node have in common is added once.
        @Test(arguments: Place.allCases, [64, 512])
        func whatANodeHasIsAddedOnce(place: Place, values: Int) throws {
            let groups = try place.groups(), world = groups.world
            let sum = try NodeSum(groups, byteCount: 2 * 8 * values, atOnce: 3)
            let names = world.nodes.reduce(into: [Int]()) { names, node in if !names.contains(node) { names.append(node) } }
            let node = try #require(names.firstIndex(of: world.nodes[world.rank]))
            let owners = (0..<9).map { $0 * 5 % world.size }
            var own: [Rows] = []
            try sum.add(owners) { number in
                let rows = Rows(rows: 50 + number, rank: node, number: number, isOfNode: true)
                own.append(rows)
                return rows
            }
            for rows in own {
                let isOwner = owners[rows.number] == world.rank
                let expected = rows.taken.indices.map { index in isOwner ? (0..<groups.count).reduce(0.0) { $0 + rows.value($1, index) } : nil }
                #expect(rows.taken == expected, "\(place) sum \(rows.number)")
            }
        }

        @Test(arguments: Place.allCases, [0, 1, 100])
        func copiesReachAll(place: Place, length: Int) throws {
            let groups = try place.groups(), world = groups.world
            for root in 0..<world.size {
                var buffer = (0..<length).map { Int32(value(world.rank, $0)) }
                try buffer.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try groups.broadcast(buffer, from: root) }
                #expect(buffer == (0..<length).map { Int32(value(root, $0)) })
            }
        }

        /// Into memory of each node, one copy after the other, while every rank does something else; longer than what MPI sends at once, too.
        @Test(arguments: Place.allCases, [1, 1000, 1 << 18])
        func copiesGoOnBesideOtherWork(place: Place, length: Int) throws {
            let groups = try place.groups(), world = groups.world
            let memory = try SharedMemory(groups.own, byteCount: 8 * length)
            let buffer = UnsafeMutableBufferPointer(start: memory.base.bindMemory(to: Double.self, capacity: length), count: length)
            let messages = world.messagesBetweenNodes
            for root in 0..<world.size {
                if world.rank == root { for index in buffer.indices { buffer[index] = Double(value(root, index)) } }
                let copy = groups.beginCopyToNodes(buffer, from: root)
                let work = (0..<1000 * (world.rank + 1)).reduce(0.0) { $0 + Double($1).squareRoot() }
                try copy.finish()
                #expect(buffer.indices.allSatisfy { buffer[$0] == Double(value(root, $0)) } && work > 0, "\(place) from \(root)")
                try groups.own.barrier()
            }
            var count = [world.messagesBetweenNodes - messages]
            try TestWorld.world.allReduceSum(&count)
            #expect(count == [groups.count > 1 ? world.size : 0])
        }

        /// A sum of n bytes leaves each node but the owner's once, however many ranks are there; a copy of n bytes leaves the root once.
        @Test(arguments: Place.allCases)
        func oneMessageLeavesANode(place: Place) throws {
            let groups = try place.groups(), world = groups.world
            let sum = try NodeSum(groups, byteCount: 1 << 16, atOnce: 3)
            let (bytes, messages) = (world.bytesBetweenNodes, world.messagesBetweenNodes)
            let owners = Array(0..<world.size), size = Rows(rows: 100, rank: 0, number: 0).starts.last!
            try sum.add(owners) { Rows(rows: 100, rank: world.rank, number: $0) }
            var copies = [Double](repeating: 1, count: size)
            for root in owners { try copies.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try groups.broadcast(buffer, from: root) } }
            var counts = [world.bytesBetweenNodes - bytes, world.messagesBetweenNodes - messages]
            try TestWorld.world.allReduceSum(&counts)
            let sums = world.size * (groups.count - 1), copied = groups.count > 1 ? world.size : 0
            #expect(counts == [8 * size * (sums + copied), sums + copied], "\(groups.count) nodes")
        }

        /// What one rank writes the others of its node read, and nobody else.
        @Test(arguments: Place.allCases)
        func aNodeSharesMemory(place: Place) throws {
            let groups = try place.groups()
            let memory = try SharedMemory(groups.own, byteCount: 1 << 20)
            let numbers = memory.base.bindMemory(to: Int.self, capacity: 1 << 17)
            #expect(numbers[groups.own.rank] == 0 && numbers[(1 << 17) - 1] == 0)
            try groups.own.barrier()
            numbers[groups.own.rank] = groups.world.rank + 1
            try groups.own.barrier()
            #expect((0..<groups.own.size).map { numbers[$0] - 1 } == (0..<groups.world.size).filter { groups.world.nodes[$0] == groups.own.nodes[0] })
            try groups.own.barrier()
        }

        @Test func memoryThatIsTooLargeIsRefusedOnAllRanks() throws {
            let groups = try NodeGroups(TestWorld.world)
            let error = #expect(throws: SharedMemoryError.self) { try SharedMemory(groups.own, byteCount: 1 << 60) }
            #expect(error?.description.contains("CLEAVE_RANKS_PER_NODE=1") == true)
        }
    }
}

@Suite struct NodeSettingTests {
    @Test func aNodesSizeIsAWholeNumber() throws {
        #expect(try Launcher(environment: [:]).ranksOfNode() == nil)
        #expect(try Launcher(environment: ["CLEAVE_RANKS_PER_NODE": "2"]).ranksOfNode() == 2)
        for value in ["0", "-1", "two", ""] {
            let error = #expect(throws: SessionError.self) { try Launcher(environment: ["CLEAVE_RANKS_PER_NODE": value]).ranksOfNode() }
            #expect(error?.exitCode == 78 && error?.description.contains("`\(value)`") == true)
        }
    }
}
