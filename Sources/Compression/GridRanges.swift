// The ranges of a group's rows, and the grids that shrunken ranges make.

internal import CKernels
import LinearAlgebra

/// A range's grid has its codes spread over it evenly; shrunken ranges make finer grids that cut weights off.
///
/// A symmetric grid has one code more on the side of code 0. With a negative scale that is the side of positive weights: with `signedScales` a range may be
/// shrunken by a negative number, which turns the grid around.
final class GridRanges: GroupRanges {
    private let options: QuantizationOptions
    private let maxCode: Float
    private let rows: Int
    private let low: Matrix<Float>
    private let high: Matrix<Float>
    private let halves: Matrix<UInt16>
    /// What each row's range is shrunken by where it is not searched: 1, or with signed scales the number that turns the grid's longer side to the weights that
    /// reach farther, with the least scale at which no weight errs by more than half a step.
    let whole: Matrix<Float>
    /// Grids whose whole range calls for a scale that is no normal number of the scales' type: they have the nearest one, and their weights lose bits or are
    /// cut off.
    private(set) var clampedScales = 0

    init(_ options: QuantizationOptions, rows: Int) {
        self.options = options
        self.rows = rows
        maxCode = Float(options.maxCode)
        low = Matrix(uninitialized: 1, rows)
        high = Matrix(uninitialized: 1, rows)
        halves = Matrix(uninitialized: 1, rows)
        whole = Matrix(repeating: 1, 1, rows)
    }

    /// Whether a grid may be turned around.
    var isSigned: Bool { options.symmetric && options.signedScales }

    /// Takes the ranges of `values`, [columns, rows].
    func measure(_ values: Matrix<Float>) {
        cleave_range(values.base, values.rows, rows, low.base, high.base)
        if isSigned { turnToLongerSides() }
        if options.symmetric { makeSymmetric() }
        raiseZeros()
        countClampedScales()
    }

    private func turnToLongerSides() {
        for row in 0..<rows {
            let (negative, positive) = (-low.base[row], high.base[row])
            let share = min(negative, positive) / max(negative, positive)
            let shrink = max(maxCode / (maxCode + 2), share)
            whole.base[row] = positive > negative ? -shrink : shrink
        }
    }

    private func makeSymmetric() {
        for row in 0..<rows {
            high.base[row] = max(high.base[row], -low.base[row])
            low.base[row] = -high.base[row]
        }
    }

    /// The grids of shrunken ranges: all arguments are [1, rows].
    func makeGrids(_ shrinks: Matrix<Float>, _ scales: Matrix<Float>, _ zeros: Matrix<Float>) {
        cleave_scales(low.base, high.base, shrinks.base, maxCode, scales.base, rows)
        options.scaleType.round(scales, halves)
        let (least, most) = options.scaleType.normalRange
        cleave_zeros(low.base, shrinks.base, maxCode, options.symmetric ? 1 : 0, least, most, scales.base, zeros.base, rows)
        guard hasLeastZero else { return }
        for row in 0..<rows { zeros.base[row] = max(zeros.base[row], Float(options.leastZero)) }
    }

    private func countClampedScales() {
        let (least, most) = options.scaleType.normalRange
        for row in 0..<rows {
            let scale = (high.base[row] - low.base[row]) / maxCode * whole.base[row].magnitude
            if scale < least || scale > most { clampedScales += 1 }
        }
    }

    private var hasLeastZero: Bool { options.leastZero > 0 && !options.symmetric }

    /// Widens ranges downwards until their zero points are at least the least: -low / ((high - low) / maxCode) >= leastZero.
    private func raiseZeros() {
        guard hasLeastZero else { return }
        let share = Float(options.leastZero) / (maxCode - Float(options.leastZero))
        for row in 0..<rows { low.base[row] = min(low.base[row], -high.base[row] * share) }
    }
}
