// The head of a page: what was made, whether it is whole, and the few figures that matter.

internal import Foundation
internal import Reporting

/// A run's name, verdict and figures.
struct Head {
    struct Figure {
        let label: String
        let value: String
        let note: String
    }

    let resultName: String
    let model: String
    let modelPath: String
    let resultPath: String
    let treatment: String
    let verdict: String
    /// `good`, `fair` or `bad`: of the style sheet, beside words that say it.
    let verdictStyle: String
    /// Why a run ended that did not come to its end.
    let failure: String?
    let failureName: String
    let figures: [Figure]
    let series: String
    let shape: String

    init(_ result: PageRun, deviations: Int) {
        resultName = result.name
        model = result.model
        modelPath = result.report.model
        resultPath = result.status.output
        series = result.series
        shape = DotsOverDepth.shape(ofSeries: result.index)
        let treatments = result.treatments
        treatment =
            treatments.prefix(3).map { "\($0.text)\(treatments.count > 1 ? " (\(counted($0.linears, "linear")))" : "")" }.joined(separator: "; ")
            + (treatments.count > 3 ? "; \(treatments.count - 3) more" : "")
        (verdict, verdictStyle) = Self.verdict(result, deviations)
        failure = result.status.lastError
        failureName = result.status.state == .stopped ? "Reason" : "Last error"
        figures = Self.figures(result)
    }

    private static func verdict(_ result: PageRun, _ deviations: Int) -> (String, String) {
        let status = result.status
        switch status.state {
        case .finished:
            if result.isBad { return ("Finished, but its perplexity is no number", "bad") }
            if deviations > 0 { return ("Finished and verified; \(counted(deviations, "remark")) below", "fair") }
            return ("Finished and verified", "good")
        case .running: return ("Unfinished: \(status.headline)", "fair")
        case .committed: return ("Unfinished: \(status.headline.replacingOccurrences(of: "`", with: ""))", "fair")
        case .stopped: return ("Unfinished: \(status.headline)", "fair")
        case .failed, .interrupted: return ("Unfinished: \(status.headline)", "bad")
        }
    }

    private static func figures(_ result: PageRun) -> [Figure] {
        let (report, status) = (result.report, result.status)
        var figures: [Figure] = []
        func add(_ label: String, _ value: String?, _ note: String = "") {
            if let value { figures.append(Figure(label: label, value: value, note: note)) }
        }
        if status.state != .finished, let tiles = status.tiles {
            add(
                "Committed", "\(format(100 * Double(tiles.done) / Double(max(tiles.total, 1)), digits: 0)) %",
                "\(grouped(tiles.done)) of \(grouped(tiles.total)) tiles"
                    + (status.linears.map { ", \(grouped($0.done)) of \(grouped($0.total)) linears" } ?? ""))
            add("Time left", status.secondsLeft.map(formatSeconds), status.tilesPerSecond.map { "\(format($0, digits: 2)) tiles/s" } ?? "")
        }
        if let size = report.size {
            let ratio = Double(size.sourceBytes) / Double(max(size.outputBytes, 1))
            add("Size", formatBytes(size.outputBytes), "of \(formatBytes(size.sourceBytes)), \(format(ratio, digits: 2)) times smaller")
            add("Bits per compressed weight", format(size.bitsPerWeight, digits: 2), "of \(format(size.sourceBitsPerWeight, digits: 2))")
            add(
                "Bits per original expert weight", size.bitsPerOriginalExpertWeight.map { format($0, digits: 2) },
                "experts that were taken out before count")
        }
        if let after = report.after {
            let note = report.before.map { before in
                let change = 100 * (after.perplexity / before.perplexity - 1)
                return "dense \(number(before)), \(change.isFinite ? "\(change < 0 ? "" : "+")\(format(change, digits: 2)) %" : "no comparison")"
            }
            add("Perplexity", number(after), note ?? "over \(grouped(after.tokens)) tokens")
        } else if let saved = result.account.evaluations.last {
            add("Perplexity", number(saved.result), "over \(grouped(saved.result.tokens)) tokens, after the run")
        }
        if let comparison = result.comparison?.result.comparison {
            add(
                "Divergence", "\(short(comparison.divergence)) nats",
                "a token, from the reference; same most likely token \(format(100 * comparison.sameChoices, digits: 1)) %")
        }
        let errors = report.linears.compactMap { linear in linear.relativeOutputError.map { (linear.name, $0) } }
        if let middle = median(errors.map(\.1)), let worst = errors.max(by: { rank($0.1) < rank($1.1) }) {
            add("Relative output error", short(middle), "median of \(counted(errors.count, "linear")); worst \(short(worst.1)), \(worst.0)")
        }
        if result.account.isComplete {
            let hosts = Set(report.ranks.map(\.host)).count
            add(
                "Wall time", formatSeconds(report.wallSeconds),
                "\(counted(report.ranks.count, "rank")) on \(counted(hosts, "host")); \(counted(report.tiles.solved, "tile")) solved, \(grouped(report.tiles.reused)) reused"
            )
            add(
                "Peak memory of a rank", report.ranks.map(\.peakMemoryBytes).max().map(formatBytes),
                report.memory.map { "bound \(formatBytes($0.boundBytes))" } ?? "")
        }
        return figures
    }

    private static func number(_ evaluation: EvaluationReport) -> String {
        evaluation.notFinite ?? format(evaluation.perplexity, digits: evaluation.perplexity < 1000 ? 3 : 0)
    }
}
