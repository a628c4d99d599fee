// Charts: places of their marks, and values that are no numbers.

import Pages
import Testing

@Suite struct DotsOverDepthTests {
    private func point(_ depth: Int?, _ values: [Double], anchor: String? = nil) -> DotsOverDepth.Point {
        DotsOverDepth.Point(depth: depth, values: values, text: "block \(depth ?? -1)", anchor: anchor)
    }

    @Test func dotsGoFromLeftToRightAndUpwards() throws {
        let scale = try #require(LogarithmicScale([0.01, 1]))
        let chart = DotsOverDepth(title: "q", series: [[point(0, [0.01]), point(5, [0.1]), point(10, [1])]], scale: scale, depths: 0...10)
        let x = chart.marks.compactMap { Double($0.x) }, y = chart.marks.compactMap { Double($0.y) }
        #expect(x == [54, 189, 324])
        #expect(y == [146, 78, 10])
        #expect(chart.lines.count == 1 && chart.ranges.isEmpty && chart.marks.allSatisfy { $0.series == "s0" })
        #expect(chart.summary == "q: 3 linears, 0.01 to 1")
    }

    /// Experts of a block are one dot at their median, with their range.
    @Test func manyLinearsAtOneDepth() throws {
        let scale = try #require(LogarithmicScale([0.01, 1]))
        let chart = DotsOverDepth(title: "experts", series: [[point(0, [1, 0.01, 0.1])]], scale: scale, depths: 0...0)
        #expect(chart.marks.count == 1 && chart.marks[0].y == "78.0")
        #expect(chart.ranges.map { [$0.top, $0.bottom] } == [["10.0", "146.0"]])
    }

    @Test(arguments: [Double.nan, .infinity])
    func whatIsNoNumberIsCrossedOutAtTheTop(value: Double) throws {
        let scale = try #require(LogarithmicScale([0.1, value]))
        let chart = DotsOverDepth(title: "q", series: [[point(0, [0.1]), point(1, [value])]], scale: scale, depths: 0...1)
        #expect(chart.marks.map(\.series) == ["s0", "bad"] && chart.marks[1].y == "10.0")
        #expect(chart.marks.allSatisfy { Double($0.x) != nil && Double($0.y) != nil } && chart.lines.isEmpty)
    }

    @Test func withoutAnyNumberThereIsNoAxis() {
        let chart = DotsOverDepth(title: "q", series: [[point(0, [.nan]), point(nil, [0])]], scale: nil, depths: 0...0)
        #expect(chart.valueTicks.isEmpty && chart.marks.count == 2)
    }

    @Test func runsDifferInShapeAndColour() throws {
        let scale = try #require(LogarithmicScale([0.1]))
        let series = (0..<Page.mostResults).map { _ in [point(0, [0.1])] }
        let chart = DotsOverDepth(title: "q", series: series, scale: scale, depths: 0...0)
        #expect(Set(chart.marks.map(\.shape)).count == Page.mostResults && Set(chart.marks.map(\.series)).count == Page.mostResults)
    }

    @Test(arguments: [(0...0, [0]), (0...7, [0, 1, 2, 3, 4, 5, 6, 7]), (0...31, [0, 5, 10, 15, 20, 25, 30]), (3...125, [20, 40, 60, 80, 100, 120])])
    func depthsAreRound(range: ClosedRange<Int>, depths: [Int]) {
        #expect(DotsOverDepth.depths(range) == depths)
    }
}

@Suite struct HeatMapTests {
    private let low = HeatMap.Level(style: "low", label: "low")
    private let high = HeatMap.Level(style: "high", label: "high")

    @Test func equalNeighboursAreOne() {
        func cell(_ level: HeatMap.Level, _ text: String) -> HeatMap.Cell { HeatMap.Cell(level: level, text: text) }
        let map = HeatMap(
            caption: "", head: "", remarkHead: "", rows: [("a", [cell(low, "1"), cell(low, "1"), nil, cell(low, "1"), cell(low, "2")], ""), ("b", [], "")],
            levels: [high, low], columns: ("0", "4"))
        #expect(map.rows[0].rectangles.map { "\($0.x)+\($0.columns)" } == ["0+2", "3+1", "4+1"])
        #expect(map.levels == [low] && map.viewBox == "0 0 5 1" && map.rows[1].rectangles.isEmpty)
    }

    @Test func aMapOfNothing() {
        let map = HeatMap(caption: "", head: "", remarkHead: "", rows: [], levels: [low], columns: ("", ""))
        #expect(map.viewBox == "0 0 1 1" && map.levels.isEmpty)
    }
}

@Suite struct BarStackTests {
    @Test func partsFollowEachOther() {
        let parts = [1.0, 3].map { BarStack.Part(value: $0, style: "p", text: "") }
        let bars = BarStack(caption: "", head: "", totalHead: "", rows: [("a", parts, ""), ("b", [parts[0]], "")], limit: 8)
        #expect(bars.rows[0].segments.map { "\($0.x)+\($0.width)" } == ["0.0+125.0", "125.0+375.0"])
        #expect(bars.rows[1].segments.map(\.width) == ["125.0"] && bars.rows.allSatisfy { $0.limit == "998.0" })
    }

    @Test func whatIsNoLengthIsNotDrawn() {
        let parts = [Double.nan, -.infinity, -1, 0, .infinity].map { BarStack.Part(value: $0, style: "p", text: "") }
        let bars = BarStack(caption: "", head: "", totalHead: "", rows: [("a", parts, "")])
        #expect(bars.rows[0].segments.isEmpty && bars.rows[0].limit == nil)
    }
}
