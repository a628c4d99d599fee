// Axes: what they show, and where values lie on them.

import Pages
import Testing

@Suite struct ScaleTests {
    @Test func theRangeHasRoundEnds() throws {
        let scale = try #require(LogarithmicScale([0.013, 0.31, 0.02]))
        #expect(abs(scale.least - 0.01) < 1e-12 && abs(scale.most - 0.5) < 1e-12)
        #expect(scale.place(0.01) == 0 && scale.place(0.5) == 1 && abs(scale.place(0.1) - 0.5886) < 1e-4)
        #expect(scale.marks.count >= 2 && scale.marks.allSatisfy { (0.0099...0.501).contains($0) })
    }

    @Test func oneValueHasAnExtent() throws {
        let scale = try #require(LogarithmicScale([0.1]))
        #expect(scale.most > scale.least && (0...1).contains(scale.place(0.1)))
    }

    @Test(arguments: [[], [0], [-1], [.nan, .infinity]])
    func nothingToShow(values: [Double]) {
        #expect(LogarithmicScale(values) == nil)
    }

    @Test func valuesThatAreNoNumbersAreLeftOut() throws {
        let scale = try #require(LogarithmicScale([.infinity, 3, .nan, 0, -2]))
        #expect(scale.least == 2 && scale.most == 5)
    }

    /// From the least number to the greatest: marks stay few.
    @Test func aVastRange() throws {
        let scale = try #require(LogarithmicScale([1e-300, 1e300]))
        #expect((2...8).contains(scale.marks.count), "\(scale.marks)")
    }
}
