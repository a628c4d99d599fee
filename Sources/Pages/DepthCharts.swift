// A figure of each linear over depth: a chart for each kind of linear, on one axis.

internal import Reporting

/// The charts of one figure.
struct DepthCharts {
    let heading: String
    let explanation: String
    let charts: [DotsOverDepth]

    /// nil where no linear has the figure.
    ///
    /// - Parameters:
    ///   - value: of a linear; nil where it has none.
    ///   - anchors: for each run, places in its table of linears.
    init?(_ results: [PageRun], heading: String, explanation: String, anchors: [[String: String]], value: (LinearReport) -> Double?) {
        typealias Found = (place: LinearPlace, linear: LinearReport, value: Double)
        let found: [[Found]] = results.map { result in
            result.linears.compactMap { place, linear in value(linear).map { (place, linear, $0) } }
        }
        let all = found.flatMap { $0 }
        guard !all.isEmpty else { return nil }
        self.heading = heading
        self.explanation = explanation
        let scale = LogarithmicScale(all.map(\.value))
        let depths = all.compactMap(\.place.depth)
        let range = (depths.min() ?? 0)...(depths.max() ?? 0)
        charts = all.map(\.place.kind).unique().map { kind in
            let series = found.enumerated().map { index, linears -> [DotsOverDepth.Point] in
                var points: [DotsOverDepth.Point] = [], places: [LinearPlace: Int] = [:], members: [[Found]] = []
                for one in linears where one.place.kind == kind {
                    if let place = places[one.place] {
                        members[place].append(one)
                    } else {
                        places[one.place] = members.count
                        members.append([one])
                    }
                }
                let name = results.count > 1 ? results[index].name + ": " : ""
                for group in members {
                    guard let worst = group.max(by: { rank($0.value) < rank($1.value) }) else { continue }
                    points.append(
                        DotsOverDepth.Point(
                            depth: worst.place.depth, values: group.map(\.value), text: name + Self.text(group, worst),
                            anchor: anchors[index][worst.linear.name]))
                }
                return points
            }
            return DotsOverDepth(title: kind, series: series, scale: scale, depths: range)
        }
    }

    private static func text(
        _ group: [(place: LinearPlace, linear: LinearReport, value: Double)], _ worst: (place: LinearPlace, linear: LinearReport, value: Double)
    ) -> String {
        guard group.count > 1 else { return "\(worst.linear.name): \(short(worst.value))" }
        let values = group.map(\.value)
        let least = values.min { rank($0) < rank($1) } ?? .nan
        return
            "\(worst.place.depth.map { "block \($0), " } ?? "")\(worst.place.kind), \(counted(group.count, "linear")): \(short(least)) to \(short(worst.value)), "
            + "median \(short(median(values) ?? .nan)); the largest is \(worst.linear.name)"
    }
}
