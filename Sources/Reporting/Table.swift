// Aligned columns of text.

/// A table for a terminal: the first column to the left, the others to the right.
public struct Table {
    private var rows: [[String]]

    public init(header: [String]) {
        rows = [header]
    }

    public mutating func add(_ cells: [String]) {
        rows.append(cells)
    }

    public func text() -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        let lines = rows.map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }
        let rule = String(repeating: "-", count: lines.first?.count ?? 0)
        return ([lines[0], rule] + lines.dropFirst()).joined(separator: "\n") + "\n"
    }
}

/// 1234567 bytes as `1.23 MB`.
public func formatBytes(_ bytes: Int) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"]
    var (value, unit) = (Double(bytes), 0)
    // What would be shown as 1000 of a unit is one of the next.
    while value >= (unit == 0 ? 1000 : 999.95), unit + 1 < units.count {
        value /= 1000
        unit += 1
    }
    return unit == 0 ? "\(bytes) B" : "\(format(value, digits: value < 9.995 ? 2 : 1)) \(units[unit])"
}

/// 1234567890 as `1.23 G`.
public func formatCount(_ count: Double) -> String {
    let units = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G")]
    let (factor, unit) = units.first { count >= $0.0 } ?? (1e6, "M")
    return "\(format(count / factor, digits: 2)) \(unit)"
}

/// Seconds as `12.3 s`, `4 min 05 s`, `2 h 03 min`.
public func formatSeconds(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e15 else { return "?" }
    if seconds < 99.95 { return "\(format(seconds, digits: seconds < 9.995 ? 2 : 1)) s" }
    let whole = Int(seconds.rounded())
    if whole < 3600 { return "\(whole / 60) min \(padded(whole % 60)) s" }
    return "\(whole / 3600) h \(padded(whole % 3600 / 60)) min"
}

/// A number with a fixed count of digits after the point.
public func format(_ value: Double, digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    guard value.isFinite, abs(value) < 1e15, abs(value) * scale < 0x1p62 else { return "\(value)" }
    let scaled = Int((abs(value) * scale).rounded())
    let (whole, fraction) = (scaled / Int(scale), String(scaled % Int(scale)))
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(whole)" }
    return "\(sign)\(whole)." + String(repeating: "0", count: digits - fraction.count) + fraction
}

private func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
