// What went otherwise than asked, as the table that a page begins with.

internal import Reporting

/// Deviations of all runs of a page, the gravest kind first, some of each kind.
struct DeviationTable {
    struct Row {
        let kind: String
        /// The run, on a page of several.
        let ofRun: String?
        let subject: String
        let text: String
    }

    let rows: [Row]
    let count: String
    /// How many are not shown, and where they are; nil when all are.
    let rest: String?

    /// Rows of one kind of one run.
    private static let mostOfKind = 20

    /// nil when there is nothing to say.
    init?(_ results: [PageRun]) {
        var (rows, hidden, total): ([Row], Int, Int) = ([], 0, 0)
        let found = results.map { $0.report.notableDeviations() }
        for kind in Deviation.Kind.allCases {
            for (result, deviations) in zip(results, found) {
                let those = deviations.filter { $0.kind == kind }
                total += those.count
                hidden += max(those.count - Self.mostOfKind, 0)
                rows += those.prefix(Self.mostOfKind).map {
                    Row(kind: kind.rawValue, ofRun: results.count > 1 ? result.name : nil, subject: $0.subject ?? "many linears", text: $0.text)
                }
            }
        }
        guard !rows.isEmpty else { return nil }
        self.rows = rows
        count = counted(total, "remark")
        rest = hidden > 0 ? "\(grouped(hidden)) more of these kinds are in report.json." : nil
    }
}
