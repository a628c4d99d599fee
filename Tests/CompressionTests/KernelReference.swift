// The kernels in plain Swift, one row at a time: the same operations in the same order, so the bits must be equal.

import CKernels
import LinearAlgebra
import SeededNumbers

/// The arguments shared by the kernels: arrays [columns, rows], row-major.
struct KernelInput {
    let columns: Int
    let rows: Int
    /// [columns, columns], upper triangular.
    let factor: [Float]
    /// [columns, rows]
    let weights: [Float]
    /// [columns, rows]
    let sums: [Float]
    /// [columns, rows]: here every column is a group.
    let scales: [Float]
    let zeros: [Float]
    let maxCode: Float
    /// [columns, rows], two of three are 1.
    let kept: [UInt8]

    /// - Parameter scale: of weights and sums.
    init(columns: Int, rows: Int, bits: Int, scale: Float = 1) {
        var generator = SeededGenerator(seed: UInt64(columns * 1000 + rows))
        func values(_ count: Int, _ range: ClosedRange<Float>) -> [Float] { (0..<count).map { _ in .random(in: range, using: &generator) } }
        self.columns = columns
        self.rows = rows
        var factor = values(columns * columns, -1...1)
        for i in 0..<columns {
            factor[i * columns + i] += 2
            for j in 0..<i { factor[i * columns + j] = 0 }
        }
        self.factor = factor
        weights = values(columns * rows, -1...1).map { $0 * scale }
        sums = values(columns * rows, -0.3...0.3).map { $0 * scale }
        scales = values(columns * rows, 0.05...0.2).map { Bool.random(using: &generator) ? $0 : -$0 }
        maxCode = Float((1 << bits) - 1)
        zeros = values(columns * rows, 0...maxCode).map { $0.rounded() }
        kept = (0..<columns * rows).map { _ in UInt8.random(in: 0..<3, using: &generator) > 0 ? 1 : 0 }
    }

    var numbers: cleave_numbers { cleave_numbers(type: Int32(cleave_integers), max_code: maxCode) }

    func code(_ v: Float, _ scale: Float, _ zero: Float) -> Float { code(quotient: v / scale, zero) }

    func code(quotient: Float, _ zero: Float) -> Float { min(max(quotient.rounded(.toNearestOrEven) + zero, 0), maxCode) }
}

enum KernelReference {
    static func quantizeColumns(_ input: KernelInput, kept: [UInt8]? = nil) -> (errors: [Float], codes: [UInt8], loss: [Double]) {
        var (errors, codes) = (input.sums, [UInt8](repeating: 0, count: input.sums.count))
        var loss = [Double](repeating: 0, count: input.rows)
        for row in 0..<input.rows {
            for j in 0..<input.columns {
                let at = j * input.rows + row
                var sum = input.sums[at]
                for i in 0..<j { sum += errors[i * input.rows + row] * input.factor[i * input.columns + j] }
                let diagonal = input.factor[j * input.columns + j]
                let v = input.weights[at] + sum / diagonal
                let code = kept?[at] == 0 ? input.zeros[at] : input.code(v, input.scales[at], input.zeros[at])
                let q = input.scales[at] * (code - input.zeros[at])
                let z = Double((v - q) * diagonal)
                loss[row] += z * z
                codes[at] = UInt8(code)
                errors[at] = input.weights[at] - q
            }
        }
        return (errors, codes, loss)
    }

    static func pruneColumns(_ input: KernelInput, type: Int) -> (errors: [Float], values: [Float], loss: [Double]) {
        var (errors, values) = (input.sums, [Float](repeating: 0, count: input.sums.count))
        var loss = [Double](repeating: 0, count: input.rows)
        for row in 0..<input.rows {
            for j in 0..<input.columns {
                let at = j * input.rows + row
                var sum = input.sums[at]
                for i in 0..<j { sum += errors[i * input.rows + row] * input.factor[i * input.columns + j] }
                let diagonal = input.factor[j * input.columns + j]
                let v = input.weights[at] + sum / diagonal
                if input.kept[at] == 1 { values[at] = rounded(v, type: type) }
                let z = Double((v - values[at]) * diagonal)
                loss[row] += z * z
                errors[at] = input.weights[at] - values[at]
            }
        }
        return (errors, values, loss)
    }

    /// By way of the conversions with which checkpoints are written.
    private static func rounded(_ v: Float, type: Int) -> Float {
        var (half, result): (UInt16, Float) = (0, v)
        switch type {
        case cleave_f16:
            Numbers.narrow([v], intoFloat16: &half, count: 1)
            Numbers.widen(float16: &half, into: &result, count: 1)
        case cleave_bf16:
            Numbers.narrow([v], intoBFloat16: &half, count: 1)
            Numbers.widen(bfloat16: &half, into: &result, count: 1)
        default: break
        }
        return result
    }

    static func updateColumns(_ input: KernelInput) -> [Float] {
        var errors = input.sums
        for row in 0..<input.rows {
            for j in 0..<input.columns {
                var sum = input.sums[j * input.rows + row]
                for i in 0..<j { sum += errors[i * input.rows + row] * input.factor[i * input.columns + j] }
                errors[j * input.rows + row] = -(sum / input.factor[j * input.columns + j])
            }
        }
        return errors
    }

    /// The least and the largest of each row's weights and 0; -1 and 1 where all are 0.
    static func ranges(_ weights: [Float], columns: Int, rows: Int) -> (low: [Float], high: [Float]) {
        let ranges = (0..<rows).map { row in
            (0..<columns).reduce((Float(0), Float(0))) { (min($0.0, weights[$1 * rows + row]), max($0.1, weights[$1 * rows + row])) }
        }
        return (ranges.map { $0 == (0, 0) ? -1 : $0.0 }, ranges.map { $0 == (0, 0) ? 1 : $0.1 })
    }

    /// The grid of a shrunken range, its scale's magnitude kept within the bounds.
    static func grid(
        _ low: Float, _ high: Float, shrink: Float, maxCode: Float, isSymmetric: Bool, bounds: ClosedRange<Float>
    ) -> (scale: Float, zero: Float) {
        let scale = (shrink * high - shrink * low) / maxCode
        let clamped = Float(signOf: scale, magnitudeOf: min(max(scale.magnitude, bounds.lowerBound), bounds.upperBound))
        let zero = min(max((-shrink * low / clamped).rounded(.toNearestOrEven), 0), maxCode)
        return (clamped, isSymmetric ? (maxCode + 1) / 2 : zero)
    }

    /// The errors of rounding a row's columns, on the grid of column 0.
    static func deltas(_ input: KernelInput, row: Int) -> [Float] {
        let (scale, zero) = (input.scales[row], input.zeros[row])
        return (0..<input.columns).map { j in
            let x = input.weights[j * input.rows + row]
            return x - scale * (input.code(x, scale, zero) - zero)
        }
    }

    /// ||(x - q) R||^2 of one row on the grid of column 0, with reciprocals in place of divisions; solved: each column sees the errors of those before it.
    /// - Parameter kept: where 0, q is 0.
    static func blockError(_ input: KernelInput, row: Int, solved: Bool, kept: [UInt8]? = nil) -> Double {
        let (scale, zero) = (input.scales[row], input.zeros[row])
        var errors: [Float] = []
        func square(_ j: Int) -> Float {
            let (x, diagonal) = (input.weights[j * input.rows + row], input.factor[j * input.columns + j])
            var sum: Float = 0
            for i in 0..<j { sum += errors[i] * input.factor[i * input.columns + j] }
            let v = solved ? x + sum * (1 / diagonal) : x
            let q = kept?[j * input.rows + row] == 0 ? 0 : scale * (input.code(quotient: v * (1 / scale), zero) - zero)
            errors.append(x - q)
            let z = solved ? (v - q) * diagonal : sum + (x - q) * diagonal
            return z * z
        }
        var total = 0.0
        while errors.count < input.columns {
            let width = errors.count + 4 <= input.columns ? 4 : 1
            var squares: Float = 0
            for _ in 0..<width { squares += square(errors.count) }
            total += Double(squares)
        }
        return total
    }
}
