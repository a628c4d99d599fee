// The time that a run has left, by a clock that the test moves.

import Reporting
import Testing

@Suite struct TimeLeftTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start.advanced(by: .seconds(seconds)) }

    /// Ten blocks of 2 s each, the first of which takes 5 s, after a start of 3 s.
    @Test func theFirstBlockSaysNothingOfTheOthers() throws {
        var left = TimeLeft(work: 40)
        #expect(left.seconds(at(1)) == nil)
        var now = 3.0
        for block in 0..<10 {
            for stage in 0..<2 {
                left.begin(at(now))
                now += block == 0 ? 2.5 : 1
                left.add(work: stage == 0 ? 1 : 3)
            }
            left.endBlock(at(now))
            let found = try #require(left.seconds(at(now)))
            #expect(abs(found - (block == 0 ? 45 : 2 * Double(9 - block))) < 1e-6, "block \(block): \(found)")
        }
    }

    /// A first block that is taken for much more work than the others, and is not.
    @Test func theFirstBlockIsOfAnotherKind() throws {
        var left = TimeLeft(work: 22)
        for (block, work) in [10.0, 4, 4, 4].enumerated() {
            left.begin(at(Double(block)))
            left.add(work: work)
            left.endBlock(at(Double(block) + 1))
            let found = try #require(left.seconds(at(Double(block) + 1)))
            #expect(abs(found - (block == 0 ? 1.2 : Double(3 - block))) < 1e-6, "block \(block): \(found)")
        }
    }

    /// Blocks that an earlier attempt committed take time, and are no work.
    @Test func whatWasCommittedIsNoMeasure() throws {
        var left = TimeLeft(work: 8)
        for block in 0..<2 {
            left.begin(at(Double(block)))
            left.add(work: 0)
            left.endBlock(at(Double(block) + 1))
            #expect(left.seconds(at(Double(block) + 1)) == nil)
        }
        left.begin(at(2))
        left.add(work: 4)
        left.endBlock(at(6))
        #expect(abs(try #require(left.seconds(at(6))) - 4) < 1e-6)
    }
}
