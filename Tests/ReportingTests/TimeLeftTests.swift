// The time that a run has left, by a clock that the test moves.

import Reporting
import Testing

@Suite struct TimeLeftTests {
    private let start = ContinuousClock.now
    private let solving = WorkKind.solving(stage: "q"), passing = WorkKind.passing(stage: "q")

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start.advanced(by: .seconds(seconds)) }

    private func isNear(_ found: Double?, _ expected: Double) -> Bool { found.map { abs($0 - expected) < 1e-6 } ?? false }

    /// Two kinds whose work is not in proportion to their time; the first block takes longer than the others, after a start of 3 s.
    @Test func eachKindHasItsRate() throws {
        var left = TimeLeft(work: [solving: 20, passing: 40])
        left.begin(at(3))
        var now = 3.0
        for block in 0..<10 {
            let (solves, passes, blocks) = (block == 0 ? 5.0 : 2, block == 0 ? 0.75 : 0.5, Double(9 - block))
            now += solves
            left.did(solving, work: 2, at(now))
            // In the first block all kinds are taken for as fast; in the second one the first is what is known.
            let between = [0: (18 + 40) * 2.5, 1: blocks * 5 + (blocks + 1) * 0.75][block] ?? blocks * 2 + (blocks + 1) * 0.5
            #expect(isNear(left.seconds, between), "block \(block): \(left.seconds ?? -1) for \(between)")
            now += passes
            left.did(passing, work: 4, at(now))
            left.endBlock()
            let after = blocks * (solves + passes)
            #expect(isNear(left.seconds, after), "block \(block): \(left.seconds ?? -1) for \(after)")
        }
    }

    /// Blocks that an earlier attempt committed are passed again: that takes its time, and reading their tiles is no work.
    @Test func whatWasCommittedIsNoMeasure() throws {
        var left = TimeLeft(work: [solving: 8, passing: 4])
        left.begin(at(0))
        left.did(solving, work: 0, at(7))
        #expect(left.seconds == nil)
        left.did(passing, work: 1, at(8))
        left.endBlock()
        #expect(isNear(left.seconds, 11))
        left.did(solving, work: 4, at(16))
        left.endBlock()
        #expect(isNear(left.seconds, 8 + 3))
    }

    /// The first of many experts takes ten times as long as the others; those of a later block take longer the fewer tokens they have.
    @Test func partsOfABlockSayLittleAlone() throws {
        var left = TimeLeft(work: [solving: 20, .solvingExperts: 200])
        left.begin(at(0))
        left.did(solving, work: 10, at(10))
        left.did(.solvingExperts, work: 10, at(110))
        // Everything so far took 110 s for 20.
        #expect(isNear(left.seconds, 5.5 * 200))
        left.did(.solvingExperts, work: 10, at(120))
        #expect(isNear(left.seconds, 4 * 10 + 5.5 * 180), "\(left.seconds ?? -1)")
        left.did(.solvingExperts, work: 80, at(200))
        left.endBlock()
        #expect(isNear(left.seconds, 10 + 190))
        left.did(solving, work: 10, at(210))
        left.did(.solvingExperts, work: 60, at(220))
        #expect(isNear(left.seconds, 40 * 1.9))
        left.did(.solvingExperts, work: 30, at(250))
        #expect(isNear(left.seconds, 10 * 1.9))
    }

    /// The last block's experts need no outputs: what they take is known without them.
    @Test func theLastBlockPassesNothing() throws {
        var left = TimeLeft(work: [.solvingExperts: 4, .passingExperts: 60])
        left.begin(at(0))
        for block in 0..<3 {
            left.did(.solvingExperts, work: 1, at(Double(5 * block + 4)))
            left.did(.passingExperts, work: 20, at(Double(5 * block + 5)))
            left.endBlock()
        }
        #expect(isNear(left.seconds, 4))
    }

    /// Nothing is left, and no time of less than that.
    @Test func atTheEndNothingIsLeft() throws {
        var left = TimeLeft(work: [solving: 1])
        left.begin(at(0))
        left.did(solving, work: 2, at(1))
        left.did(passing, work: 1, at(2))
        left.endBlock()
        #expect(left.seconds == 0)
    }
}
