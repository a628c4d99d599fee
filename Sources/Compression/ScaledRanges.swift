// The grids of a group's rows where a number's type says how its scale follows from the largest weight.

import LinearAlgebra

/// Ranges of rows, blocks of rows or whole tensors, and their scales.
final class ScaledRanges: GroupRanges {
    private let rules: any NumberRules
    private let options: QuantizationOptions
    private let rows: Int
    /// Of the whole tensor.
    private let tensorMagnitude: Float
    private let divisor: Float?
    /// Of each row's scale: [1, rows]
    private let magnitudes: Matrix<Float>
    private let halves: Matrix<UInt16>
    let whole: Matrix<Float>
    private(set) var clampedScales = 0
    let isSigned = false

    /// - Parameter tensorMagnitude: the largest magnitude of the weights that share what is one for a whole tensor.
    init(_ rules: any NumberRules, _ options: QuantizationOptions, rows: Int, tensorMagnitude: Float) {
        self.rules = rules
        self.options = options
        self.rows = rows
        self.tensorMagnitude = tensorMagnitude
        divisor = rules.divisor(tensorMagnitude)
        magnitudes = Matrix(uninitialized: 1, rows)
        halves = Matrix(uninitialized: 1, rows)
        whole = Matrix(repeating: 1, 1, rows)
    }

    func measure(_ values: Matrix<Float>) {
        magnitudes.base.update(repeating: 0, count: rows)
        for column in 0..<values.rows {
            let (weights, largest) = (values.row(column), magnitudes.base)
            for row in 0..<rows { largest[row] = max(largest[row], weights[row].magnitude) }
        }
        if options.strategy == .tensor {
            magnitudes.base.update(repeating: tensorMagnitude, count: rows)
        } else {
            overScales { rows in
                let largest = rows.reduce(Float(0)) { max($0, magnitudes.base[$1]) }
                for row in rows { magnitudes.base[row] = largest }
            }
        }
        clampedScales += (0..<rows).count { rules.isClamped(magnitudes.base[$0], type: options.scaleType) }
    }

    func makeGrids(_ shrinks: Matrix<Float>, _ scales: Matrix<Float>, _ zeros: Matrix<Float>) {
        for row in 0..<rows { scales.base[row] = shrinks.base[row] * magnitudes.base[row] }
        rules.makeScales(scales, type: options.scaleType, divisor: divisor, halves)
        zeros.base.update(repeating: Float(rules.zeroCode), count: rows)
    }

    func share(_ errors: Matrix<Double>) {
        overScales { rows in
            let sum = rows.reduce(0.0) { $0 + errors.base[$1] }
            for row in rows { errors.base[row] = sum }
        }
    }

    var sharesTried: [Float]? { rules.sharesTried }
    var widerShares: [Float] { rules.widerShares }

    /// Calls `body` with the rows of each scale that has several; they begin at a multiple of a block's.
    private func overScales(_ body: (Range<Int>) -> Void) {
        guard options.strategy == .block else { return }
        for rows in (0..<rows).cut(every: scaleBlock) { body(rows) }
    }
}
