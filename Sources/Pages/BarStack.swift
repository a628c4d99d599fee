// Bars of stacked parts, one a row, on one scale.

internal import Reporting

/// Rows of bars.
package struct BarStack {
    package struct Part {
        package var value: Double
        /// Of the style sheet.
        package var style: String
        package var text: String

        package init(value: Double, style: String, text: String) {
            self.value = value
            self.style = style
            self.text = text
        }
    }

    /// What is drawn; a template reads it. Places are thousandths of the scale.
    package struct Segment {
        package let x: String
        package let width: String
        package let style: String
        package let text: String
    }

    package struct Row {
        package let name: String
        package let segments: [Segment]
        /// Where a limit lies; nil without one.
        package let limit: String?
        package let total: String
    }

    package let caption: String
    package let head: String
    package let totalHead: String
    package let rows: [Row]

    /// - Parameters:
    ///   - rows: parts from left to right, and the bar's value in words.
    ///   - limit: a line across all bars.
    package init(caption: String, head: String, totalHead: String, rows: [(name: String, parts: [Part], total: String)], limit: Double? = nil) {
        self.caption = caption
        self.head = head
        self.totalHead = totalHead
        func sum(_ parts: [Part]) -> Double { parts.reduce(0) { $0 + Self.length($1.value) } }
        let most = max(rows.map { sum($0.parts) }.max() ?? 0, limit ?? 0)
        func share(_ value: Double) -> Double { most > 0 ? 1000 * value / most : 0 }
        self.rows = rows.map { row in
            var segments: [Segment] = []
            var start = 0.0
            for part in row.parts {
                let length = Self.length(part.value)
                if share(length) >= 0.05 {
                    segments.append(Segment(x: place(share(start)), width: place(share(length)), style: part.style, text: part.text))
                }
                start += length
            }
            return Row(name: row.name, segments: segments, limit: limit.map { place(min(share($0), 998)) }, total: row.total)
        }
    }

    /// What is no length is not drawn.
    private static func length(_ value: Double) -> Double { value.isFinite ? max(value, 0) : 0 }
}
