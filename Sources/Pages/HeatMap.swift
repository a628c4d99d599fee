// A map of coloured cells: rows with a name each, many narrow columns.

/// Cells in rows. What a cell says in words is its title; its colour is one of few levels, which the legend explains.
package struct HeatMap {
    package struct Cell {
        package var level: Level
        package var text: String

        package init(level: Level, text: String) {
            self.level = level
            self.text = text
        }
    }

    /// A colour.
    package struct Level: Hashable {
        /// Of the style sheet.
        package let style: String
        package let label: String

        package init(style: String, label: String) {
            self.style = style
            self.label = label
        }
    }

    /// What is drawn; a template reads it.
    package struct Rectangle {
        package let x: String
        package let columns: String
        package let style: String
        package let text: String
    }

    package struct Row {
        package let name: String
        package let rectangles: [Rectangle]
        /// What all cells of the row have in common, or their range.
        package let remark: String
    }

    package let caption: String
    package let head: String
    package let remarkHead: String
    package let rows: [Row]
    package let levels: [Level]
    /// Of the drawing in which each column is one wide.
    package let viewBox: String
    package let firstColumn: String
    package let lastColumn: String

    /// - Parameters:
    ///   - rows: by name: for each column a cell, or nil where there is none; and a remark.
    ///   - columns: what the first and the last are called.
    package init(
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
