// Numbers as a page shows them.

internal import Foundation
internal import Reporting

/// Three digits that count, also of what is no number.
func short(_ value: Double) -> String {
    if value.isNaN { return "not a number" }
    if value.isInfinite { return value > 0 ? "infinite" : "minus infinite" }
    // Three digits would put an exponent on what people read more easily whole.
    return (1000..<1_000_000).contains(abs(value)) ? grouped(Int(value.rounded())) : String(format: "%.3g", value)
}

/// A place in a drawing, to a tenth.
func place(_ value: Double) -> String { format(value.isFinite ? value : 0, digits: 1) }

/// An integer in groups of three digits.
package func grouped(_ value: Int) -> String {
    var text = String(value.magnitude)
    var place = text.endIndex
    while let before = text.index(place, offsetBy: -3, limitedBy: text.startIndex), before != text.startIndex {
        text.insert("\u{202f}", at: before)
        place = before
    }
    return (value < 0 ? "-" : "") + text
}

/// `1 linear`, `3 linears`.
func counted(_ count: Int, _ noun: String) -> String { "\(grouped(count)) \(noun)\(count == 1 ? "" : "s")" }

/// The middle value of some; numbers that are none come last. Nil without values.
func median(_ values: [Double]) -> Double? {
    let sorted = values.sorted { rank($0) < rank($1) }
    return sorted.isEmpty ? nil : sorted[(sorted.count - 1) / 2]
}

/// What is no number counts as more than any.
func rank(_ value: Double) -> Double { value.isNaN ? .infinity : value }
