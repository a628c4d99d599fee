// From values to places along an axis, with marks at round numbers.

internal import Foundation

/// A logarithmic axis over positive values.
package struct LogarithmicScale {
    /// The range that is shown: powers of ten times 1, 2 or 5.
    package let least: Double
    package let most: Double

    /// The scale of some values; nil when none is positive and finite.
    package init?(_ values: [Double]) {
        let shown = values.filter { $0.isFinite && $0 >= .leastNormalMagnitude }
        guard let low = shown.min(), let high = shown.max() else { return nil }
        least = Self.round(low, up: false)
        let above = Self.round(high, up: true)
        // One value alone would have no extent.
        most = above > least ? above : Self.round(least * 1.5, up: true)
    }

    /// Of a value: 0 at the least, 1 at the most; values outside lie on the edge.
    package func place(_ value: Double) -> Double {
        guard value > least else { return 0 }
        return min((log10(value) - log10(least)) / (log10(most) - log10(least)), 1)
    }

    /// Where lines are drawn: 1, 2 and 5 times powers of ten while these are few, else powers of ten, the fewer the larger the range.
    package var marks: [Double] {
        let first = Int(Foundation.floor(log10(least))), last = Int(Foundation.ceil(log10(most)))
        var fine: [Double] = []
        for decade in first...last { for factor in [1.0, 2.0, 5.0] { fine.append(factor * pow(10, Double(decade))) } }
        fine = fine.filter(isShown)
        guard fine.count > 5 else { return fine }
        let step = max(1, (last - first + 4) / 5)
        return stride(from: first, through: last, by: step).map { pow(10, Double($0)) }.filter(isShown)
    }

    private func isShown(_ value: Double) -> Bool { value >= least * 0.999 && value <= most * 1.001 }

    /// The nearest of 1, 2, 5 times a power of ten on one side.
    private static func round(_ value: Double, up: Bool) -> Double {
        let power = pow(10, Foundation.floor(log10(value)))
        let steps = [1.0, 2, 5, 10].map { $0 * power }
        // A value that is such a number, but for its last bits, is its own neighbour.
        return (up ? steps.first { $0 >= value * (1 - 1e-9) } : steps.last { $0 <= value * (1 + 1e-9) }) ?? value
    }
}
