// The linears of a run as a table, those with the largest errors first.

internal import Reporting

/// Rows of linears.
struct LinearTable {
    struct Row {
        let anchor: String
        let linear: String
        let method: String
        let error: String
        let loss: String
        let damping: String
        let tokens: String
        let rank: String
        let size: String
    }

    static let mostRows = 200
    /// Dots that lead to their rows.
    private static let mostAnchors = 5

    let rows: [Row]
    let caption: String
    let ofRun: String?
    /// The places of those with the largest errors, by name.
    let anchors: [String: String]

    /// nil without linears.
    init?(_ result: PageRun, isAlone: Bool) {
        let linears = result.report.linears
        guard !linears.isEmpty else { return nil }
        // Those without an error in the order of the model, after the others.
        func order(_ linear: LinearReport) -> Double { linear.relativeOutputError.map(Pages.rank) ?? -1 }
        let sorted = linears.enumerated().sorted { (order($1.element), $0.offset) < (order($0.element), $1.offset) }.map(\.element).prefix(Self.mostRows)
        rows = sorted.enumerated().map { index, linear in
            Row(
                anchor: "r\(result.index)l\(index)", linear: linear.name, method: PageRun.treatment(linear), error: linear.relativeOutputError.map(short) ?? "",
                loss: linear.loss.map(short) ?? "", damping: linear.damping.map(short) ?? "", tokens: linear.tokens.map(grouped) ?? "",
                rank: linear.effectiveRank.map { format($0, digits: 1) } ?? "", size: grouped(linear.columns))
        }
        caption =
            "\(isAlone ? "" : "\(result.name): ")\(linears.count > rows.count ? "\(grouped(rows.count)) of " : "")\(counted(linears.count, "linear")), those with the largest "
            + "relative output error first" + (linears.count > rows.count ? "; all are in report.json" : "")
        ofRun = isAlone ? nil : result.name
        anchors = Dictionary(
            zip(sorted.prefix(Self.mostAnchors).filter { $0.relativeOutputError != nil }.map(\.name), rows.map(\.anchor)),
            uniquingKeysWith: { first, _ in first })
    }
}
