// The kernels in plain Swift, one row at a time: the same operations in the same order, so the bits must be equal.

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

    init(columns: Int, rows: Int, bits: Int) {
        var generator = SplitMix(seed: UInt64(columns * 1000 + rows))
        func values(_ count: Int, _ range: ClosedRange<Float>) -> [Float] { (0..<count).map { _ in .random(in: range, using: &generator) } }
        self.columns = columns
        self.rows = rows
        var factor = values(columns * columns, -1...1)
        for i in 0..<columns {
            factor[i * columns + i] += 2
            for j in 0..<i { factor[i * columns + j] = 0 }
        }
        self.factor = factor
        weights = values(columns * rows, -1...1)
        sums = values(columns * rows, -0.3...0.3)
        scales = values(columns * rows, 0.05...0.2)
        maxCode = Float((1 << bits) - 1)
        zeros = values(columns * rows, 0...maxCode).map { $0.rounded() }
    }

    func code(_ v: Float, _ scale: Float, _ zero: Float) -> Float {
        min(max((v / scale).rounded(.toNearestOrEven) + zero, 0), maxCode)
    }
}

enum KernelReference {
    static func quantizeColumns(_ input: KernelInput) -> (errors: [Float], codes: [UInt8], loss: [Double]) {
        var (errors, codes) = (input.sums, [UInt8](repeating: 0, count: input.sums.count))
        var loss = [Double](repeating: 0, count: input.rows)
        for row in 0..<input.rows {
            for j in 0..<input.columns {
                let at = j * input.rows + row
                var sum = input.sums[at]
                for i in 0..<j { sum += errors[i * input.rows + row] * input.factor[i * input.columns + j] }
                let diagonal = input.factor[j * input.columns + j]
                let v = input.weights[at] + sum / diagonal
                let code = input.code(v, input.scales[at], input.zeros[at])
                let q = input.scales[at] * (code - input.zeros[at])
                let z = Double((v - q) * diagonal)
                loss[row] += z * z
                codes[at] = UInt8(code)
                errors[at] = input.weights[at] - q
            }
        }
        return (errors, codes, loss)
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

    /// The errors of rounding a row's columns, on the grid of column 0.
    static func deltas(_ input: KernelInput, row: Int) -> [Float] {
        let (scale, zero) = (input.scales[row], input.zeros[row])
        return (0..<input.columns).map { j in
            let x = input.weights[j * input.rows + row]
            return x - scale * (input.code(x, scale, zero) - zero)
        }
    }

    /// ||(x - q) R||^2 of one row on the grid of column 0; solved: each column sees the errors of those before it.
    static func blockError(_ input: KernelInput, row: Int, solved: Bool) -> Double {
        let (scale, zero) = (input.scales[row], input.zeros[row])
        var errors: [Float] = []
        func square(_ j: Int) -> Float {
            let (x, diagonal) = (input.weights[j * input.rows + row], input.factor[j * input.columns + j])
            var sum: Float = 0
            for i in 0..<j { sum += errors[i] * input.factor[i * input.columns + j] }
            let v = solved ? x + sum / diagonal : x
            let q = scale * (input.code(v, scale, zero) - zero)
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

/// A small generator with a seed (Steele, Lea and Flood, 2014).
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
