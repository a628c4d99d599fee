// A chart of one kind of linear: a dot for each block, from the first to the last, on a logarithmic axis that charts beside it share.

internal import Foundation

/// Dots over depth, of one run or of several.
package struct DotsOverDepth {
    /// A value at a depth; where several linears of the kind are there (experts), their range.
    package struct Point {
        package var depth: Int?
        /// In any order; not empty.
        package var values: [Double]
        package var text: String
        /// The place in the page's table of linears, of those that the user is to look at first.
        package var anchor: String?

        package init(depth: Int?, values: [Double], text: String, anchor: String?) {
            self.depth = depth
            self.values = values
            self.text = text
            self.anchor = anchor
        }
    }

    /// What is drawn; a template reads it.
    package struct Mark {
        package let x: String
        package let y: String
        package let shape: String
        package let series: String
        package let text: String
        package let anchor: String?
    }

    package struct Range {
        package let x: String
        package let top: String
        package let bottom: String
        package let series: String
    }

    package struct Line {
        package let points: String
        package let series: String
    }

    package struct Tick {
        package let at: String
        package let label: String
    }

    static let (width, height) = (340.0, 170.0)
    private static let (left, right, top, bottom) = (48.0, 10.0, 10.0, 24.0)

    package let title: String
    package let summary: String
    package let marks: [Mark]
    package let ranges: [Range]
    package let lines: [Line]
    package let depthTicks: [Tick]
    package let valueTicks: [Tick]
    let viewBox = "0 0 340 170"
    let leftEdge = place(left)
    let rightEdge = place(width - right)
    let baseline = place(height - bottom + 16)

    /// - Parameters:
    ///   - series: the points of each run.
    ///   - depths: of all charts together.
    package init(title: String, series: [[Point]], scale: LogarithmicScale?, depths: ClosedRange<Int>) {
        self.title = title
        let inner = Self.width - Self.left - Self.right
        func x(_ depth: Int?) -> Double {
            guard let depth, depths.count > 1 else { return Self.left + inner / 2 }
            return Self.left + 6 + (inner - 12) * Double(depth - depths.lowerBound) / Double(depths.count - 1)
        }
        func y(_ value: Double) -> Double {
            // What is no number lies above the axis, beside what is infinite.
            let share = value.isNaN ? 1 : scale?.place(value) ?? (value > 0 ? 1 : 0)
            return Self.top + (Self.height - Self.top - Self.bottom) * (1 - share)
        }
        var (marks, ranges, lines): ([Mark], [Range], [Line]) = ([], [], [])
        for (index, points) in series.enumerated() {
            let name = "s\(index)"
            for point in points {
                let middle = median(point.values) ?? .nan
                if point.values.count > 1, let least = point.values.map(rank).min(), let most = point.values.map(rank).max() {
                    ranges.append(Range(x: place(x(point.depth)), top: place(y(most)), bottom: place(y(least)), series: name))
                }
                let isNumber = middle.isFinite
                marks.append(
                    Mark(
                        x: place(x(point.depth)), y: place(y(middle)), shape: isNumber ? Self.shapes[index % Self.shapes.count] : Self.cross,
                        series: isNumber ? name : "bad", text: point.text, anchor: point.anchor))
            }
            let finite = points.filter { $0.depth != nil && (median($0.values) ?? .nan).isFinite }.sorted { ($0.depth ?? 0) < ($1.depth ?? 0) }
            if finite.count > 1 {
                let path = finite.map { "\(place(x($0.depth))),\(place(y(median($0.values) ?? 0)))" }.joined(separator: " ")
                lines.append(Line(points: path, series: name))
            }
        }
        (self.marks, self.ranges, self.lines) = (marks, ranges, lines)
        let all = series.flatMap { $0 }
        let values = all.flatMap(\.values)
        summary =
            "\(title): \(counted(values.count, "linear")), "
            + (values.isEmpty ? "" : "\(short(values.min { rank($0) < rank($1) } ?? 0)) to \(short(values.max { rank($0) < rank($1) } ?? 0))")
        depthTicks =
            all.contains { $0.depth != nil }
            ? Self.depths(depths).map { Tick(at: place(x($0)), label: "\($0)") } : [Tick(at: place(x(nil)), label: "no block")]
        valueTicks = (scale?.marks ?? []).map { Tick(at: place(y($0)), label: short($0)) }
    }

    /// Some round depths, the first among them.
    package static func depths(_ range: ClosedRange<Int>) -> [Int] {
        let step = [1, 2, 5, 10, 20, 50, 100, 200, 500].first { range.count <= $0 * 8 } ?? range.count
        let round = stride(from: (range.lowerBound + step - 1) / step * step, through: range.upperBound, by: step)
        return Array(round)
    }

    /// Circle, square, triangle, diamond, and the same turned or hollow enough to be told apart without colour.
    private static let shapes = [
        "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z", "M-3 -3h6v6h-6z", "M0 -4L3.8 3H-3.8z", "M0 -4.2L4.2 0L0 4.2L-4.2 0z", "M0 4L3.8 -3H-3.8z",
        "M-4.5 -1.5h9v3h-9z", "M-1.5 -4.5h3v9h-3z", "M-4 -1.3h2.7v-2.7h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7z",
    ]
    private static let cross = "M-4 -4L4 4M4 -4L-4 4"

    /// The shape of a run's dots, for a legend.
    static func shape(ofSeries index: Int) -> String { shapes[index % shapes.count] }
}
