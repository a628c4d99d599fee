// Copies between ranks: broadcasts and gathers.

import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct Copies {
        @Test(arguments: worlds, Reductions.lengths)
        func broadcastsFromEachRoot(cut: Cut, length: Int) throws {
            let world = try cut.world
            for root in 0..<world.size {
                let expected = (0..<length).map { Int32(value(root, $0)) }
                // The others need not know the length of an array.
                let own = world.rank == root ? expected : [Int32](repeating: -1, count: world.rank)
                #expect(try world.broadcast(own, from: root) == expected)
                var buffer = (0..<length).map { Int32(value(world.rank, $0)) }
                try buffer.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try world.broadcast(buffer, from: root) }
                #expect(buffer == expected)
            }
        }

        /// Parts that grow with the rank, parts of which every other one is empty, one part for all, and none.
        @Test(arguments: worlds, 0..<4)
        func gathersPartsOnEveryRank(cut: Cut, pattern: Int) throws {
            let world = try cut.world
            let counts = (0..<world.size).map { rank in
                switch pattern {
                case 0: 5 * rank + 1
                case 1: rank % 2 == 0 ? 0 : 7
                case 2: rank == world.size - 1 ? 11 : 0
                default: 0
                }
            }
            let expected = counts.enumerated().flatMap { rank, count in (0..<count).map { UInt8(truncatingIfNeeded: value(rank, $0)) } }
            let start = counts[..<world.rank].reduce(0, +)
            var buffer = [UInt8](repeating: 0xee, count: expected.count)
            for index in 0..<counts[world.rank] { buffer[start + index] = UInt8(truncatingIfNeeded: value(world.rank, index)) }
            try buffer.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try world.allGather(buffer, counts: counts) }
            #expect(buffer == expected)
        }

        @Test(arguments: worlds)
        func gathersArraysOnEachRoot(cut: Cut) throws {
            let world = try cut.world
            for root in 0..<world.size {
                // Rank 0 has nothing to send.
                let arrays = (0..<world.size).map { rank in (0..<4 * rank).map { Float(value(rank, $0)) } }
                #expect(try world.gather(arrays[world.rank], to: root) == (world.rank == root ? arrays : []))
            }
        }

        @Test func bytesSentAreThePayloadOnce() throws {
            let world = try TestWorld.world.cutting(every: 3)
            let alone = world.size == 1
            var sum = [Double](repeating: 1, count: 10)
            try world.allReduceSum(&sum)
            #expect(world.bytesSent == (alone ? 0 : 80))
            try sum.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try world.reduceSum(buffer, to: world.size - 1) }
            let reduced = 80 + (world.rank == world.size - 1 ? 0 : 80)
            #expect(world.bytesSent == (alone ? 0 : reduced))
            try sum.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try world.broadcast(buffer) }
            #expect(world.bytesSent == (alone ? 0 : reduced + (world.rank == 0 ? 80 : 0)))
        }
    }
}
