// The time that a run has left, by a clock that the test moves.

import Reporting
import Testing

@Suite struct TimeLeftTests {
    private let start = ContinuousClock.now
    private let solving = WorkKind.solving(stage: "q"), passing = WorkKind.passing(stage: "q")

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start.advanced(by: .seconds(seconds)) }

    /// Two kinds whose work is not in proportion to their time; the first of each takes longer than the others, after a start of 3 s.
    @Test func eachKindHasItsRate() throws {
        var left = TimeLeft(work: [solving: 20, passing: 40])
        left.begin(at(3))
        var now = 3.0
        for block in 0..<10 {
            now += block == 0 ? 5 : 2
            left.did(solving, work: 2, at(now))
            let between = try #require(left.seconds)
            // In the first block the other kind is taken for as fast; later both are known.
            let passes = (block == 1 ? 0.75 : 0.5) * Double(10 - block)
            #expect(abs(between - (block == 0 ? 45 + 100 : 2 * Double(9 - block) + passes)) < 1e-6, "block \(block): \(between)")
            now += block == 0 ? 0.75 : 0.5
            left.did(passing, work: 4, at(now))
            let found = try #require(left.seconds)
            #expect(abs(found - (block == 0 ? 45 + 6.75 : 2.5 * Double(9 - block))) < 1e-6, "block \(block): \(found)")
        }
    }

    /// Blocks that an earlier attempt committed are passed again: that takes its time, and reading their tiles is no work.
    @Test func whatWasCommittedIsNoMeasure() throws {
        var left = TimeLeft(work: [solving: 8, passing: 4])
        left.begin(at(0))
        left.did(solving, work: 0, at(7))
        #expect(left.seconds == nil)
        left.did(passing, work: 1, at(8))
        #expect(abs(try #require(left.seconds) - 11) < 1e-6)
        left.did(solving, work: 4, at(16))
        #expect(abs(try #require(left.seconds) - (8 + 3)) < 1e-6)
    }

    /// The first of many experts takes ten times as long as the others.
    @Test func oneOfManySaysNothingAlone() throws {
        var left = TimeLeft(work: [solving: 10, .experts: 1000])
        left.begin(at(0))
        left.did(solving, work: 10, at(10))
        left.did(.experts, work: 10, at(110))
        #expect(abs(try #require(left.seconds) - 990) < 1e-6)
        left.did(.experts, work: 10, at(120))
        #expect(abs(try #require(left.seconds) - 980) < 1e-6)
    }

    /// Nothing is left, and no time of less than that.
    @Test func atTheEndNothingIsLeft() throws {
        var left = TimeLeft(work: [solving: 1])
        left.begin(at(0))
        left.did(solving, work: 2, at(1))
        left.did(passing, work: 1, at(2))
        #expect(left.seconds == 0)
    }
}
