// Finds the grid (scale and zero) of one group of columns for every row of a tile.

internal import CKernels
import LinearAlgebra

/// Ranges and errors as published: `quant.py` of GPTQ for `minmax` and `mse`, the clip search of Marlin's GPTQ for `hessian`.
///
/// The Hessian-aware search scores a range by the output error it leaves when all columns of a group are rounded at once and later columns
/// are still free to make up for it: with delta = x - q(x), the columns' part of e R is delta R_GG (the sums of earlier errors are already in
/// x), and the later columns can bring their parts to zero, so the error is ||delta R_GG||^2. R_GG^-1 is the block of U with which Marlin's
/// code solves the same triangular system. Groups wider than 128 columns (all columns, for group -1) are scored in runs of 128, whose errors
/// add up, as if each run saw none of the runs before it.
final class GridSearch {
    /// Columns scored together by the Hessian-aware search: Marlin's block.
    static let runColumns = 128

    private let options: QuantizationOptions
    private let rows: Int
    private let maxCode: Float
    private let low: Matrix<Float>
    private let high: Matrix<Float>
    private let scales: Matrix<Float>
    private let zeros: Matrix<Float>
    private let halves: Matrix<UInt16>
    private let errors: Matrix<Double>
    private let best: Matrix<Double>
    private let delta: Matrix<Float>

    /// - Parameter rows: a multiple of the kernels' lanes.
    init(_ options: QuantizationOptions, rows: Int) {
        self.options = options
        self.rows = rows
        maxCode = Float(options.maxCode)
        low = Matrix(uninitialized: 1, rows)
        high = Matrix(uninitialized: 1, rows)
        scales = Matrix(uninitialized: 1, rows)
        zeros = Matrix(uninitialized: 1, rows)
        halves = Matrix(uninitialized: 1, rows)
        errors = Matrix(uninitialized: 1, rows)
        best = Matrix(uninitialized: 1, rows)
        delta = Matrix(uninitialized: Self.runColumns, Int(cleave_lanes))
    }

    /// - Parameters:
    ///   - values: [columns, rows], the group's weights in the order of quantization.
    ///   - runs: for the Hessian-aware search, R_GG^T of each run of `runColumns` columns, contiguous; not called otherwise.
    ///   - scales, zeros: [1, rows]
    func find(_ values: Matrix<Float>, runs: () -> [Matrix<Float>], scales: Matrix<Float>, zeros: Matrix<Float>) {
        cleave_range(values.base, values.rows, rows, options.symmetric ? 1 : 0, low.base, high.base)
        switch options.grid {
        case .minmax:
            makeGrid(shrink: 1, scales, zeros)
        case .mse:
            search(steps: 80, scales, zeros) { powerError(values) }
        case .hessian:
            let runs = runs()
            search(steps: 76, scales, zeros) { factorError(values, runs) }
        }
    }

    /// The best of the ranges shrunken by 1 - i/100; the widest of equally good ones.
    private func search(steps: Int, _ bestScales: Matrix<Float>, _ bestZeros: Matrix<Float>, addErrors: () -> Void) {
        best.base.update(repeating: .infinity, count: rows)
        for step in 0..<steps {
            makeGrid(shrink: Float(1 - Double(step) / 100), scales, zeros)
            errors.base.update(repeating: 0, count: rows)
            addErrors()
            cleave_keep_better(errors.base, scales.base, zeros.base, best.base, bestScales.base, bestZeros.base, rows)
        }
    }

    private func powerError(_ values: Matrix<Float>) {
        cleave_power_error(values.base, values.rows, rows, scales.base, zeros.base, maxCode, best.base, errors.base)
    }

    private func factorError(_ values: Matrix<Float>, _ runs: [Matrix<Float>]) {
        var first = 0
        for run in runs {
            cleave_factor_error(
                values.row(first), run.rows, rows, run.base, scales.base, zeros.base, maxCode, best.base, errors.base, delta.base)
            first += run.rows
        }
    }

    private func makeGrid(shrink: Float, _ scales: Matrix<Float>, _ zeros: Matrix<Float>) {
        cleave_scales(low.base, high.base, shrink, maxCode, scales.base, rows)
        round(scales)
        let (least, most) = options.scaleType.normalRange
        cleave_zeros(low.base, shrink, maxCode, options.symmetric ? 1 : 0, least, most, scales.base, zeros.base, rows)
    }

    private func round(_ scales: Matrix<Float>) {
        switch options.scaleType {
        case .f32: break
        case .f16:
            Numbers.narrow(scales.base, intoFloat16: halves.base, count: rows)
            Numbers.widen(float16: halves.base, into: scales.base, count: rows)
        case .bf16:
            Numbers.narrow(scales.base, intoBFloat16: halves.base, count: rows)
            Numbers.widen(bfloat16: halves.base, into: scales.base, count: rows)
        }
    }
}

extension ScaleType {
    /// The least and the largest positive normal number: scales stay within, so that no client divides by zero or flushes a scale to it.
    var normalRange: (least: Float, most: Float) {
        switch self {
        case .f32: (0x1p-126, .greatestFiniteMagnitude)
        case .f16: (0x1p-14, 65504)
        case .bf16: (0x1p-126, 0x1.fep127)
        }
    }
}
