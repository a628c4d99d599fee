// Several runs beside each other: one row of figures each.

/// The table with which a page of several runs begins.
struct Comparison {
    struct Row {
        let runName: String
        let series: String
        let shape: String
        let verdict: String
        let treatment: String
        let cells: [String]
    }

    let columns: [String]
    let rows: [Row]

    init(_ heads: [Head]) {
        let labels = heads.flatMap { $0.figures.map(\.label) }.unique()
        columns = labels
        rows = heads.map { head in
            Row(
                runName: head.resultName, series: head.series, shape: head.shape, verdict: head.verdict, treatment: head.treatment,
                cells: labels.map { label in head.figures.first { $0.label == label }.map { "\($0.value)\($0.note.isEmpty ? "" : " (\($0.note))")" } ?? "" })
        }
    }
}
