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
