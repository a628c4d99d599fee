// A map of coloured cells: rows with a name each, many narrow columns.

/// Cells in rows. What a cell says in words is its title; its colour is one of few levels, which the legend explains.
struct HeatMap {
    struct Cell {
        var level: Level
        var text: String
    }

    /// A colour.
    struct Level: Hashable {
        /// Of the style sheet.
        let style: String
        let label: String
    }

    /// What is drawn; a template reads it.
    struct Rectangle {
        let x: String
        let columns: String
        let style: String
        let text: String
    }

    struct Row {
        let name: String
        let rectangles: [Rectangle]
        /// What all cells of the row have in common, or their range.
        let remark: String
    }

    let caption: String
    let head: String
    let remarkHead: String
    let rows: [Row]
    let levels: [Level]
    /// Of the drawing in which each column is one wide.
    let viewBox: String
    let firstColumn: String
    let lastColumn: String

    /// - Parameters:
    ///   - rows: by name: for each column a cell, or nil where there is none; and a remark.
    ///   - columns: what the first and the last are called.
    init(
        caption: String, head: String, remarkHead: String, rows: [(name: String, cells: [Cell?], remark: String)], levels: [Level],
        columns: (first: String, last: String)
    ) {
        self.caption = caption
        self.head = head
        self.remarkHead = remarkHead
        let count = rows.map(\.cells.count).max() ?? 0
        viewBox = "0 0 \(max(count, 1)) 1"
        (firstColumn, lastColumn) = columns
        self.rows = rows.map { row in
            Row(name: row.name, rectangles: Self.rectangles(row.cells), remark: row.remark)
        }
        let used = Set(rows.flatMap { $0.cells.compactMap { $0?.level } })
        self.levels = levels.filter(used.contains)
    }

    /// Neighbours that say the same are one.
    private static func rectangles(_ cells: [Cell?]) -> [Rectangle] {
        var found: [(first: Int, count: Int, cell: Cell)] = []
        for (column, cell) in cells.enumerated() {
            guard let cell else { continue }
            if let last = found.last, last.first + last.count == column, last.cell.level == cell.level, last.cell.text == cell.text {
                found[found.count - 1].count += 1
            } else {
                found.append((column, 1, cell))
            }
        }
        return found.map { Rectangle(x: "\($0.first)", columns: "\($0.count)", style: $0.cell.level.style, text: $0.cell.text) }
    }
}
