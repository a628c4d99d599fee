// Sums and largest values over ranks.

import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct Reductions {
        /// Below, at and above a piece of 3, and many of them.
        static let lengths = [0, 1, 2, 3, 4, 6, 100, 1001]

        @Test(arguments: worlds, lengths)
        func sums(cut: Cut, length: Int) throws {
            let world = try cut.world
            let expected = (0..<length).map { index in (0..<world.size).reduce(0) { $0 + value($1, index) } }
            var integers = (0..<length).map { value(world.rank, $0) }
            try world.allReduceSum(&integers)
            #expect(integers == expected)
            var doubles = (0..<length).map { Double(value(world.rank, $0)) }
            try world.allReduceSum(&doubles)
            #expect(doubles == expected.map(Double.init))
            var floats = (0..<length).map { Float(value(world.rank, $0)) }
            try world.allReduceSum(&floats)
            #expect(floats == expected.map(Float.init))
        }

        @Test(arguments: worlds, lengths)
        func largestValues(cut: Cut, length: Int) throws {
            let world = try cut.world
            // At each place another rank has the largest value; all are negative, so that nothing starts from zero.
            var integers = (0..<length).map { Int32(($0 + world.rank) % world.size - 1000) }
            try world.allReduceMax(&integers)
            #expect(integers == [Int32](repeating: Int32(world.size - 1001), count: length))
            var floats = (0..<length).map { Float(($0 + world.rank) % world.size) - 1000.5 }
            try world.allReduceMax(&floats)
            #expect(floats == [Float](repeating: Float(world.size) - 1001.5, count: length))
        }

        /// The last length is one of those for which MPI libraries change their algorithm.
        @Test(arguments: worlds, lengths + [20_000])
        func sumsToEachRoot(cut: Cut, length: Int) throws {
            guard cut == .whole || length < 20_000 else { return }
            let world = try cut.world
            for root in 0..<world.size {
                let own = (0..<length).map { Double(value(world.rank, $0)) }
                var values = own
                try values.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try world.reduceSum(buffer, to: root) }
                let total = (0..<length).map { index in (0..<world.size).reduce(0.0) { $0 + Double(value($1, index)) } }
                #expect(values == (world.rank == root ? total : own))
            }
        }
    }
}
