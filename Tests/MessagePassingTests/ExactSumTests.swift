// The promise that everything rests on: sums of X^T X have the same bits for any number of ranks.

import LinearAlgebra
import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct ExactSums {
        private let world = TestWorld.world
        /// More columns than a block of the sum, and a number that no vector divides.
        private let columns = ColumnBlocks.mostColumns + 37
        private let batches = 7

        /// Batch `index`: [tokens, columns], of very different magnitudes, the same on every rank.
        private func batch(_ index: Int) -> Matrix<Float> {
            var state = UInt64(index) &* 0x9e37_79b9_7f4a_7c15 &+ 1
            let tokens = 5 + index
            let values = (0..<tokens * columns).map { place in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let unit = Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
                return unit * (place % 11 == 3 ? 300 : 1) * (index == 2 ? 1e-3 : 1)
            }
            return Matrix(values, tokens, columns)
        }

        private func sum(_ order: [Int]) -> GramSum {
            let all = (0..<batches).map(batch)
            let gram = GramSum(columns: columns, tokens: all.reduce(0) { $0 + $1.rows }, maxMagnitude: all.map(maxMagnitude).max() ?? 0)
            for index in order { gram.add(all[index]) }
            return gram
        }

        /// Batches dealt in turn, in runs, backwards, and all to the last rank.
        @Test(arguments: 0..<4)
        func dealtInAnyWay(way: Int) throws {
            let own = (0..<batches).filter { index in
                let owner =
                    switch way {
                    case 0: index % world.size
                    case 1: index * world.size / batches
                    case 2: world.size - 1 - index % world.size
                    default: world.size - 1
                    }
                return owner == world.rank
            }
            let gram = sum(way == 2 ? own.reversed() : own)
            let expected = sum(Array(0..<batches)).panels
            for root in Set([0, world.size - 1]).sorted() {
                for (panel, expected) in zip(gram.panels, expected) {
                    let message = panel.values.copy()
                    try world.reduceSum(UnsafeMutableBufferPointer(start: message.base, count: message.count), to: root)
                    guard world.rank == root else { continue }
                    #expect(message.elements().map(\.bitPattern) == expected.values.elements().map(\.bitPattern))
                }
            }
        }
    }
}
