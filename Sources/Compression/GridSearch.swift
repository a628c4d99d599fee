// Finds the grid (scale and zero) of one group of columns for each of some rows of a tile.

internal import CKernels
import LinearAlgebra

/// Ranges and errors as published: `quant.py` of GPTQ for `minmax` and `mse`, the clip search of Marlin's GPTQ for `hessian`.
///
/// The Hessian-aware searches score a range by the output error that it leaves while later columns are still free to make up for it. The sums
/// of earlier errors are already in x, the updated weights, so with delta = x - q the group's part of e R is delta R_GG; later columns can
/// bring their parts to zero, and ||delta R_GG||^2 is left. (Marlin's code solves the triangular system with the block of U, whose inverse is
/// R_GG.) `hessian` rounds all columns of the group at once to get delta; `solved` lets the column loop do it.
///
/// For grids found before the loop starts (static groups, and all columns as one group) nothing is known of the errors that each column will
/// have to make up for. Each column's part of e R is then its own rounding error times R_jj, as in the loop, with the original weights in
/// place of the updated ones: the error is the sum of (delta_j R_jj)^2.
final class GridSearch {
    private let options: QuantizationOptions
    private let rows: Int
    private let ranges: any GroupRanges
    /// How far the ranges in hand are shrunken; negative where the grid is turned around.
    private let shrinks: Matrix<Float>
    private let bestShrinks: Matrix<Float>
    private let scales: Matrix<Float>
    private let zeros: Matrix<Float>
    private let errors: Matrix<Double>
    private let best: Matrix<Double>
    /// Of searches whose factor is a block.
    private lazy var scratch = Matrix<Float>(uninitialized: columns, Int(cleave_searched_rows))
    private let columns: Int
    /// How many ranges of each row the column loop tries before it looks beside the best.
    private static let tried = 4
    /// Of the ranges that the column loop tries for each row, [ranges, rows], the best first: errors by the columns' own, and how far they are shrunken.
    private let leastErrors: Matrix<Float>
    private let leastShrinks: Matrix<Float>
    /// [1, rows], the largest of these errors.
    private let limits: Matrix<Double>

    /// See `GridRanges`.
    var clampedScales: Int { ranges.clampedScales }

    /// - Parameters:
    ///   - columns: of the widest group.
    ///   - rows: a multiple of the kernels' lanes.
    ///   - tensorMagnitude: see `ScaledRanges`.
    init(_ options: QuantizationOptions, columns: Int, rows: Int, tensorMagnitude: Float) {
        self.options = options
        self.rows = rows
        self.columns = columns
        if let rules = options.number.rules {
            ranges = ScaledRanges(rules, options, rows: rows, tensorMagnitude: tensorMagnitude)
        } else {
            ranges = GridRanges(options, rows: rows)
        }
        shrinks = Matrix(uninitialized: 1, rows)
        bestShrinks = Matrix(uninitialized: 1, rows)
        scales = Matrix(uninitialized: 1, rows)
        zeros = Matrix(uninitialized: 1, rows)
        errors = Matrix(uninitialized: 1, rows)
        best = Matrix(uninitialized: 1, rows)
        leastErrors = Matrix(uninitialized: Self.tried, rows)
        leastShrinks = Matrix(uninitialized: Self.tried, rows)
        limits = Matrix(repeating: .infinity, 1, rows)
    }

    /// - Parameters:
    ///   - values: [columns, rows], the group's weights in the order of quantization.
    ///   - kept: [columns, rows], 0 for weights that become zero whatever the grid, which then only has to fit the others; nil keeps all.
    ///   - factor: what the Hessian-aware searches score with; the others need none.
    ///   - scales, zeros: [1, rows], the result.
    func find(_ values: Matrix<Float>, kept: Matrix<UInt8>?, factor: GroupFactor?, scales: Matrix<Float>, zeros: Matrix<Float>) {
        let fitted = kept.map { zeroed(values, $0) } ?? values
        ranges.measure(fitted)
        bestShrinks.assign(ranges.whole)
        ranges.makeGrids(ranges.whole, scales, zeros)
        best.base.update(repeating: .infinity, count: rows)
        func tryShrinks(_ addErrors: () -> Void) {
            score(shrinks, addErrors)
            cleave_keep_better(
                errors.base, shrinks.base, self.scales.base, self.zeros.base, best.base, bestShrinks.base, scales.base, zeros.base, rows)
        }
        switch (options.grid, factor) {
        case (.minmax, _): break
        case (.mse, _): forEachShrink(steps: 80, apart: 1) { tryShrinks { addPowerErrors(fitted) } }
        case (.solved, .block(let transposed)):
            forEachPromisingShrink(fitted, transposed) { tryShrinks { addBlockErrors(values, kept, transposed) } }
        case (_, .block(let transposed)): forEachShrink(steps: 76, apart: 1) { tryShrinks { addBlockErrors(values, kept, transposed) } }
        case (_, .diagonal(let diagonal)): forEachShrink(steps: 76, apart: 1) { tryShrinks { addWeightedErrors(values, diagonal, best) } }
        case (_, nil): preconditionFailure("a Hessian-aware grid without a factor")
        }
    }

    /// The errors of the grids of shrunken ranges.
    private func score(_ shrinks: Matrix<Float>, _ addErrors: () -> Void) {
        ranges.makeGrids(shrinks, scales, zeros)
        errors.base.update(repeating: 0, count: rows)
        addErrors()
        ranges.share(errors)
    }

    /// Sets `shrinks` to the ranges shrunken by 1 - i/100 in turn. The first of equally good ones is to be kept; the widest stays where all errors overflow. With
    /// signed scales each is tried in both directions, first in that of the weights that reach farther.
    ///
    /// Ranges are tried from those that are most often the best: an error near the least one is found early, and most of the others are then left
    /// unfinished.
    /// - Parameter apart: hundredths between one range and the next.
    private func forEachShrink(steps: Int, apart: Int, _ body: () -> Void) {
        func forShares(_ shares: [Float]) {
            for share in shares {
                shrinks.base.update(repeating: share, count: rows)
                body()
            }
        }
        if let shares = ranges.sharesTried { return forShares(shares) }
        forShares(ranges.widerShares)
        let usual = 12  // hundredths, for weights of normal distribution in 4 bits
        let coarse = stride(from: 0, to: steps, by: 4).sorted { (abs($0 - usual), $0) < (abs($1 - usual), $1) }
        let whole = ranges.whole
        for step in coarse + (0..<steps).filter({ $0 % 4 != 0 && $0 % apart == 0 }) {
            for direction: Float in ranges.isSigned ? [1, -1] : [1] {
                let shrink = direction * Self.shrink(step)
                for row in 0..<rows { shrinks.base[row] = Float(signOf: whole.base[row], magnitudeOf: 1) * shrink }
                body()
            }
        }
    }

    /// The ranges that the column loop tries. Its errors take long to sum, since each column's depends on those before it, so all ranges are first scored by
    /// the columns' own errors, as for grids found before the loop; the best few of each row are tried, then those 2 and 1 hundredths on either side of the
    /// row's best so far.
    private func forEachPromisingShrink(_ values: Matrix<Float>, _ transposed: Matrix<Float>, _ body: () -> Void) {
        let steps = 76
        if ranges.sharesTried != nil { return forEachShrink(steps: steps, apart: 1, body) }
        let diagonal = (0..<transposed.rows).map { transposed[$0, $0] }
        leastErrors.base.update(repeating: .infinity, count: leastErrors.count)
        limits.base.update(repeating: .infinity, count: rows)
        for rank in 0..<leastShrinks.rows { leastShrinks.row(rank).update(from: ranges.whole.base, count: rows) }
        forEachShrink(steps: steps, apart: 4) {
            score(shrinks) { addWeightedErrors(values, diagonal, limits) }
            cleave_keep_least(errors.base, shrinks.base, rows, leastErrors.rows, leastErrors.base, leastShrinks.base, limits.base)
        }
        for rank in 0..<leastShrinks.rows {
            shrinks.base.update(from: leastShrinks.row(rank), count: rows)
            body()
        }
        for distance in [2, 1] {
            let centers = bestShrinks.copy()
            for offset in [-distance, distance] {
                for row in 0..<rows {
                    let center = centers.base[row], step = Int((100 * (1 - center.magnitude)).rounded()) + offset
                    shrinks.base[row] = Float(signOf: center, magnitudeOf: Self.shrink(min(max(step, 0), steps - 1)))
                }
                body()
            }
        }
    }

    private static func shrink(_ step: Int) -> Float { Float(1 - Double(step) / 100) }

    private func addPowerErrors(_ values: Matrix<Float>) {
        cleave_power_error(values.base, values.rows, rows, scales.base, zeros.base, options.kernelNumbers, best.base, errors.base)
    }

    private func addWeightedErrors(_ values: Matrix<Float>, _ diagonal: [Float], _ limits: Matrix<Double>) {
        cleave_weighted_error(values.base, values.rows, rows, diagonal, scales.base, zeros.base, options.kernelNumbers, limits.base, errors.base)
    }

    private func addBlockErrors(_ values: Matrix<Float>, _ kept: Matrix<UInt8>?, _ transposed: Matrix<Float>) {
        if let kept {
            let addErrors = options.grid == .solved ? cleave_solved_kept_error : cleave_rounded_kept_error
            addErrors(
                values.base, kept.base, values.rows, rows, transposed.base, scales.base, zeros.base, Float(options.maxCode), best.base, errors.base,
                scratch.base)
            return
        }
        let addErrors = options.grid == .solved ? cleave_solved_error : cleave_rounded_error
        addErrors(
            values.base, values.rows, rows, transposed.base, scales.base, zeros.base, options.kernelNumbers, best.base, errors.base, scratch.base)
    }
}

/// The values that are kept, and zeros.
private func zeroed(_ values: Matrix<Float>, _ kept: Matrix<UInt8>) -> Matrix<Float> {
    let result = values.copy()
    for index in 0..<result.count where kept.base[index] == 0 { result.base[index] = 0 }
    return result
}

/// What the factor says of a group's rounding errors.
enum GroupFactor {
    /// R_GG^T, contiguous.
    case block(Matrix<Float>)
    /// R_jj of each column.
    case diagonal([Float])
}
