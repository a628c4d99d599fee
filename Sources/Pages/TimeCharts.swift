// Where the time went: bars of phases, one for each rank or, on a page of several runs, for each run.

internal import Reporting

/// The time of a run's ranks by phase.
struct TimeCharts {
    struct Phase {
        let phaseName: String
        let style: String
        let share: String
        let range: String
        let imbalance: String
        let rate: String
    }

    let bars: BarStack
    let phases: [Phase]
    let caption: String

    /// More ranks than this are not shown.
    private static let mostRanks = 64
    /// Phases with a colour of their own; the others share one.
    private static let mostColours = 7

    /// nil where no rank has reported its time.
    init?(_ run: PageRun, isAlone: Bool) {
        let report = run.report
        let seconds = Self.phases(report)
        guard !seconds.isEmpty else { return nil }
        let styles = Self.styles(seconds.map(\.phase))
        let name = isAlone ? "" : "\(run.name): "
        let total = seconds.reduce(0) { $0 + $1.sum }
        func busy(_ rank: RankReport) -> Double { rank.seconds.values.filter(\.isFinite).reduce(0, +) }
        var ranks = report.ranks
        if ranks.count > Self.mostRanks {
            let sorted = ranks.sorted { busy($0) < busy($1) }
            ranks = (sorted.prefix(Self.mostRanks / 2) + sorted.suffix(Self.mostRanks / 2)).sorted { $0.rank < $1.rank }
        }
        let rows = ranks.map { rank -> (name: String, parts: [BarStack.Part], total: String) in
            let parts = seconds.map { phase in
                let own = rank.seconds[phase.phase] ?? 0
                return BarStack.Part(value: own, style: styles[phase.phase] ?? "", text: "rank \(rank.rank), \(phase.phase): \(formatSeconds(own))")
            }
            return ("\(rank.rank) \(rank.host)", parts, formatSeconds(busy(rank)))
        }
        bars = BarStack(
            caption: "\(name)time of ranks by phase"
                + (ranks.count < report.ranks.count
                    ? ": of \(grouped(report.ranks.count)) ranks the \(ranks.count / 2) with the least and the \(ranks.count / 2) with the most" : ""),
            head: "rank", totalHead: "in phases", rows: rows)
        caption = "\(name)phases over \(counted(report.ranks.count, "rank"))"
        phases = seconds.map { phase in
            let mean = phase.sum / Double(report.ranks.count)
            let operations = report.ranks.reduce(0) { $0 + ($1.operations[phase.phase] ?? 0) }
            let rate = operations > 0 && phase.sum > 0 ? operations / phase.sum : nil
            return Phase(
                phaseName: phase.phase, style: styles[phase.phase] ?? "", share: "\(format(100 * phase.sum / total, digits: 1)) %",
                range: "\(formatSeconds(phase.least)) / \(formatSeconds(mean)) / \(formatSeconds(phase.most))",
                imbalance: mean > 0 ? format(phase.most / mean, digits: 2) : "",
                rate: rate.map { rate in "\(formatCount(rate))/s" + (report.peakRate.map { ", \(format(100 * rate / $0, digits: 0)) % of peak" } ?? "") } ?? "")
        }
    }

    /// One bar for each run: the mean of its ranks. Nil where no run has reported its time.
    static func comparison(_ runs: [PageRun]) -> BarStack? {
        let found = runs.map { ($0, phases($0.report)) }
        let names = Reporting.Phase.allCases.map(\.rawValue)
        let sums = names.map { name in (name, found.reduce(0) { sum, run in sum + (run.1.first { $0.phase == name }?.sum ?? 0) }) }
        let order = sums.filter { $0.1 > 0 }.sorted { $0.1 > $1.1 }.map(\.0)
        guard !order.isEmpty else { return nil }
        let styles = styles(order)
        return BarStack(
            caption: "mean time of a rank by phase: \(order.prefix(mostColours).joined(separator: ", "))\(order.count > mostColours ? ", others" : "")",
            head: "run",
            totalHead: "wall time",
            rows: found.map { run, phases in
                let ranks = Double(max(run.report.ranks.count, 1))
                let parts = order.map { name in
                    let mean = (phases.first { $0.phase == name }?.sum ?? 0) / ranks
                    return BarStack.Part(value: mean, style: styles[name] ?? "", text: "\(run.name), \(name): \(formatSeconds(mean))")
                }
                return (run.name, parts, phases.isEmpty ? "not ended" : formatSeconds(run.report.wallSeconds))
            })
    }

    /// Phases that took time, the longest first.
    private static func phases(_ report: RunReport) -> [(phase: String, sum: Double, least: Double, most: Double)] {
        let names = Set(report.ranks.flatMap(\.seconds.keys))
        return names.compactMap { name in
            let seconds = report.ranks.map { $0.seconds[name] ?? 0 }.filter(\.isFinite)
            let sum = seconds.reduce(0, +)
            return sum > 0 ? (name, sum, seconds.min() ?? 0, seconds.max() ?? 0) : nil
        }.sorted { ($1.sum, $0.phase) < ($0.sum, $1.phase) }
    }

    private static func styles(_ phases: [String]) -> [String: String] {
        Dictionary(uniqueKeysWithValues: phases.enumerated().map { ($1, $0 < mostColours ? "p\($0)" : "p\(mostColours)") })
    }
}
