// Memory of ranks beside the bound that was printed before the run.

internal import Reporting

/// The peaks of ranks, and the bound by phase.
struct MemoryCharts {
    struct Phase {
        let phaseName: String
        let bound: String
    }

    let bars: BarStack
    let phases: [Phase]
    let caption: String
    let limitText: String?

    private static let mostRanks = 64

    /// nil where nothing is known.
    init?(_ run: PageRun, isAlone: Bool) {
        let report = run.report
        guard !report.ranks.isEmpty || report.memory != nil else { return nil }
        let name = isAlone ? "" : "\(run.name): "
        let bound = report.memory?.boundBytes
        let sorted = report.ranks.sorted { $0.peakMemoryBytes > $1.peakMemoryBytes }.prefix(Self.mostRanks).sorted { $0.rank < $1.rank }
        let rows = sorted.map { rank -> (name: String, parts: [BarStack.Part], total: String) in
            let text = "rank \(rank.rank): \(formatBytes(rank.peakMemoryBytes))\(bound.map { " of \(formatBytes($0))" } ?? "")"
            let isAbove = bound.map { rank.peakMemoryBytes > $0 } ?? false
            return (
                "\(rank.rank) \(rank.host)", [BarStack.Part(value: Double(rank.peakMemoryBytes), style: isAbove ? "above" : "p0", text: text)],
                formatBytes(rank.peakMemoryBytes)
            )
        }
        bars = BarStack(
            caption: "\(name)largest resident memory of each rank" + (bound.map { "; the line is the bound, \(formatBytes($0))" } ?? "")
                + (sorted.count < report.ranks.count ? "; the \(sorted.count) ranks with the most of \(grouped(report.ranks.count))" : ""),
            head: "rank", totalHead: "peak", rows: rows, limit: bound.map(Double.init))
        phases = (report.memory?.phases ?? [:]).sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map {
            Phase(phaseName: $0.key, bound: formatBytes($0.value))
        }
        caption = "\(name)bound of a rank's memory by phase"
        let limits = [report.memory?.limitBytes.map { "\(formatBytes($0)) a rank" }, report.memory?.hostLimitBytes.map { "\(formatBytes($0)) a host" }]
        let given = limits.compactMap { $0 }
        limitText = given.isEmpty ? nil : "Limit of the recipe: \(given.joined(separator: ", "))."
    }
}
