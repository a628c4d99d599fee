// Ternary rows: rounding, GPTQ against the float64 reference, and the search of the two numbers.

import CKernels
import Compression
import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct TernaryTests {
    /// What Tests/Compatibility/gptq_reference.py computed in float64.
    struct Case: Sendable {
        let options: QuantizationOptions
        let codes: [UInt8]
        let lows: [Float]
        let highs: [Float]
        let loss: [Double]
    }

    private static let fixture: (weights: Matrix<Float>, hessian: Matrix<Double>, cases: [Case]) = {
        do {
            var file = try ReferenceFile<IntegerOptions>("ternary")
            let (rows, columns) = (file.weights.rows, file.weights.columns)
            let cases = file.cases.map { settings in
                Case(
                    options: QuantizationOptions(.ternary, grid: settings.grid, actOrder: settings.actOrder, scaleType: settings.scaleType),
                    codes: file.next(rows * columns), lows: file.next(rows), highs: file.next(rows), loss: file.next(rows))
            }
            return (file.weights, file.hessian, cases)
        } catch { fatalError("the fixtures cannot be read: \(error)") }
    }()

    @Test func gptqIsTheReferences() throws {
        let (weights, hessian, cases) = Self.fixture
        #expect(cases.count == 4)
        for expected in cases {
            let factor = try factor(hessian: hessian, dampingFraction: 0.01, actOrder: expected.options.actOrder)
            let tile = try gptq(weights: weights, factor: factor, options: expected.options)
            #expect(tile.codes.elements() == expected.codes)
            for row in 0..<weights.rows { #expect(tile.scales[row, 0] == expected.lows[row] && tile.scales[row, 1] == expected.highs[row], "row \(row)") }
            for (loss, reference) in zip(tile.loss, expected.loss) { #expect(abs(loss - reference) <= 1e-4 * reference) }
            let values = Matrix<Float>(uninitialized: weights.rows, weights.columns)
            tile.dequantize(into: values)
            let wanted = expected.codes.enumerated().map { place, code -> Float in
                code == 0 ? 0 : code == 1 ? expected.lows[place / weights.columns] : expected.highs[place / weights.columns]
            }
            #expect(values.elements() == wanted)
        }
    }

    /// Half-way is 0, as published, and so is everything on a side that has no number.
    @Test func weightsAreRoundedToTheNearest() {
        let weights: [Float] = [0, 0.5, 0.6, 1, 9, -0.25, -0.26, -0.5, -7, -0.0] + Array(repeating: 0, count: 22)
        func round(_ low: Float, _ high: Float) -> (codes: [UInt8], errors: [Float]) {
            var (codes, errors) = ([UInt8](repeating: 9, count: 32), [Float](repeating: 9, count: 32))
            cleave_round_column(
                weights, Array(repeating: low, count: 32), Array(repeating: high, count: 32), cleave_numbers(type: Int32(cleave_ternary), max_code: 3),
                &codes, &errors, 32)
            return (codes, errors)
        }
        let both = round(-0.5, 1)
        #expect(Array(both.codes.prefix(10)) == [0, 0, 2, 2, 2, 0, 1, 1, 1, 0])
        #expect(Array(both.errors.prefix(9)) == [0, 0.5, weights[2] - 1, 0, 8, -0.25, weights[6] + 0.5, 0, -6.5])
        #expect(Array(round(0, 1).codes.prefix(10)) == [0, 0, 2, 2, 2, 0, 0, 0, 0, 0])
        #expect(Array(round(-0.5, 0).codes.prefix(10)) == [0, 0, 0, 0, 0, 0, 1, 1, 1, 0])
    }

    /// The least error over all thresholds, one side of zero at a time, in double precision: best for numbers of any precision.
    private func leastError(_ row: [Double], _ weights: [Double]) -> Double {
        [1.0, -1.0].reduce(0.0) { (total: Double, sign: Double) -> Double in
            let side: [(Double, Double)] = zip(row, weights).filter { sign * $0.0 > 0 }.sorted { $0.0.magnitude > $1.0.magnitude }
            let whole = side.reduce(0.0) { (sum: Double, weight: (Double, Double)) -> Double in sum + weight.1 * weight.0 * weight.0 }
            var (best, sum, weight) = (whole, 0.0, 0.0)
            // Weights beyond the threshold take their mean, which saves weight * mean^2.
            for (value, own) in side {
                sum += own * value
                weight += own
                best = min(best, whole - sum * sum / weight)
            }
            return total + best
        }
    }

    @Test func searchesComeCloseToTheBest() throws {
        let (weights, hessian) = (Self.fixture.weights, Self.fixture.hessian), columns = weights.columns
        let factor = try factor(hessian: hessian, dampingFraction: 0.01, actOrder: false)
        let diagonal = factor.outline.comparedDiagonal.map { Double($0) * Double($0) }
        for (grid, importance) in [(Grid.mse, [Double](repeating: 1, count: columns)), (.hessian, diagonal)] {
            let tile = try roundToNearest(weights: weights, options: QuantizationOptions(.ternary, grid: grid, scaleType: .f32), factor: factor)
            let widest = try roundToNearest(weights: weights, options: QuantizationOptions(.ternary, scaleType: .f32), factor: factor)
            func error(_ tile: QuantizedTile, _ row: Int) -> Double {
                let values = Matrix<Float>(uninitialized: weights.rows, columns)
                tile.dequantize(into: values)
                return (0..<columns).reduce(0.0) { (sum: Double, column: Int) -> Double in
                    let error = Double(values[row, column]) - Double(weights[row, column])
                    return sum + importance[column] * error * error
                }
            }
            var (found, least, whole) = (0.0, 0.0, 0.0)
            for row in 0..<weights.rows {
                let best = leastError((0..<columns).map { Double(weights[row, $0]) }, importance)
                // A weight beyond a threshold may be nearer to zero than to the mean, so that even the best threshold is not beaten.
                #expect(error(tile, row) >= best * (1 - 1e-6) && error(tile, row) <= error(widest, row) * (1 + 1e-6), "row \(row)")
                found += error(tile, row)
                least += best
                whole += error(widest, row)
            }
            #expect(found <= 1.02 * least && found < 0.8 * whole, "\(grid): \(found), at best \(least), by range \(whole)")
        }
    }

    /// Rows are independent, so that a linear may be cut into tiles anywhere.
    @Test func rowsAloneAreTheSame() throws {
        let (weights, hessian, _) = Self.fixture
        let options = QuantizationOptions(.ternary, grid: .hessian, actOrder: true)
        let factor = try factor(hessian: hessian, dampingFraction: 0.1, actOrder: true)
        let whole = try gptq(weights: weights, factor: factor, options: options)
        for row in [0, 7, weights.rows - 1] {
            let alone = try gptq(weights: weights.rows(row..<row + 1), factor: factor, options: options)
            #expect(alone.codes.elements() == whole.codes.rows(row..<row + 1).elements())
            #expect(alone.scales.elements() == whole.scales.rows(row..<row + 1).elements())
        }
    }

    @Test func whatDoesNotGoTogetherIsRefused() {
        let changes: [(inout QuantizationOptions) -> Void] = [{ $0.group = 64 }, { $0.bits = 3 }, { $0.symmetric = false }, { $0.grid = .solved }]
        for change in changes {
            var options = QuantizationOptions(.ternary)
            change(&options)
            #expect(throws: CompressionError.self) { try options.validate() }
        }
    }
}
