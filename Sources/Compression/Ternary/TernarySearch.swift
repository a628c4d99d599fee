// Finds the two numbers beside zero to which the weights of a row are rounded.

internal import CKernels
import LinearAlgebra

/// The numbers of ternary rows: as published the least and the largest weight (QMoE, 2023, section 3; GPTQ, `quant.py`), or those that err least.
///
/// With the least and the largest weight most weights become zero, which is what makes QMoE's codewords short. A search takes numbers nearer to zero: weights err
/// less, fewer become zero, and codewords stand for fewer of them. The two sides of zero are independent of each other, so that each keeps the best of what it
/// was tried with: shares of the range, and means of the weights that took the number before (Lloyd, 1982).
final class TernarySearch {
    private let grid: Grid
    private let type: ScaleType
    private let rows: Int
    /// In hand: [1, rows] all.
    private let lows: Matrix<Float>
    private let highs: Matrix<Float>
    private let fittedLows: Matrix<Float>
    private let fittedHighs: Matrix<Float>
    private let lowErrors: Matrix<Double>
    private let highErrors: Matrix<Double>
    private let halves: Matrix<UInt16>

    /// Shares of the range from which means are taken, and how often they are.
    private static let shares: [Float] = [1, 0.8, 0.65, 0.5, 0.35], means = 6

    /// - Parameter rows: a multiple of the kernels' lanes.
    init(_ options: QuantizationOptions, rows: Int) {
        (grid, type) = (options.grid, options.scaleType)
        self.rows = rows
        func row() -> Matrix<Float> { Matrix(uninitialized: 1, rows) }
        (lows, highs, fittedLows, fittedHighs) = (row(), row(), row(), row())
        lowErrors = Matrix(uninitialized: 1, rows)
        highErrors = Matrix(uninitialized: 1, rows)
        halves = Matrix(uninitialized: 1, rows)
    }

    /// - Parameters:
    ///   - values: [columns, rows], the weights in the order of quantization.
    ///   - weights: how much the square of a column's error counts; nil: all the same.
    ///   - low, high: [1, rows], the result: exactly numbers of the scales' type, not above and not below 0.
    func find(_ values: Matrix<Float>, weights: [Float]?, low: Matrix<Float>, high: Matrix<Float>) {
        let (least, most) = (Matrix<Float>(uninitialized: 1, rows), Matrix<Float>(uninitialized: 1, rows))
        cleave_range(values.base, values.rows, rows, least.base, most.base)
        low.assign(least)
        high.assign(most)
        round(low)
        round(high)
        guard grid != .minmax else { return }
        let weights = weights ?? Array(repeating: 1, count: values.rows)
        let (bestLow, bestHigh) = (Matrix<Double>(repeating: .infinity, 1, rows), Matrix<Double>(repeating: .infinity, 1, rows))
        for share in Self.shares {
            for row in 0..<rows { (lows.base[row], highs.base[row]) = (share * least.base[row], share * most.base[row]) }
            for _ in 0...Self.means {
                round(lows)
                round(highs)
                cleave_fit_ternary(
                    values.base, values.rows, rows, weights, lows.base, highs.base, lowErrors.base, highErrors.base, fittedLows.base, fittedHighs.base)
                for row in 0..<rows {
                    if lowErrors.base[row] < bestLow.base[row] { (bestLow.base[row], low.base[row]) = (lowErrors.base[row], lows.base[row]) }
                    if highErrors.base[row] < bestHigh.base[row] { (bestHigh.base[row], high.base[row]) = (highErrors.base[row], highs.base[row]) }
                }
                lows.assign(fittedLows)
                highs.assign(fittedHighs)
            }
        }
    }

    /// To the nearest number that the type can hold.
    private func round(_ numbers: Matrix<Float>) {
        type.round(numbers, halves)
        let most = type.normalRange.most
        for row in 0..<rows { numbers.base[row] = min(max(numbers.base[row], -most), most) }
    }
}
