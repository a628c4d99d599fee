// Rows of M (H + damping)^-1 against a solution in doubles.

import LinearAlgebra
import SeededNumbers
import Testing

import Compression

@Suite struct MismatchRowsTests {
    private let columns = 2 * MismatchRows.panelColumns + 44

    /// M, some rows of it. [rows, columns]
    private func mismatch(_ rows: Int) -> Matrix<Float> { Matrix(randomFloats(rows * columns, seed: 5), rows, columns) }

    private func solve(_ mismatch: Matrix<Float>, _ factor: Factor, squares: [Double]) -> Matrix<Float> {
        let rows = MismatchRows(mismatch, factor: factor.outline), panels = MismatchRows.panels(columns: columns)
        for panel in panels { rows.takeBackward(factor.panel(panel)) }
        for panel in panels.reversed() { rows.takeForward(factor.panel(panel)) }
        return rows.finish(squares: squares)
    }

    /// S (H + damping) = M, each row times the share of its squares that S M explains.
    @Test(arguments: [false, true])
    func productsGiveBackTheMismatch(actOrder: Bool) throws {
        let layer = Layer(rows: 1, columns: columns), mismatch = mismatch(70)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.05, actOrder: actOrder)
        let damped = Matrix<Double>(uninitialized: columns, columns)
        for i in 0..<columns { for j in 0..<columns { damped[i, j] = layer.hessian[min(i, j), max(i, j)] + (i == j ? factor.damping : 0) } }
        // Squares below what is explained: the share is 1.
        let s = solve(mismatch, factor, squares: Array(repeating: 1e-30, count: 70))
        let product = Matrix<Double>(uninitialized: 70, columns)
        let exact = Matrix<Double>(s.elements().map { Double($0) }, 70, columns)
        multiply(exact, damped, into: product)
        for row in 0..<70 {
            #expect((0..<columns).allSatisfy { abs(product[row, $0] - Double(mismatch[row, $0])) < 2e-3 }, "row \(row)")
        }
        // Twice what is explained: half of it. Nothing known of the mismatch, or none: nothing.
        let explained: [Double] = (0..<70).map { row in
            var sum = 0.0
            for column in 0..<columns { sum += exact[row, column] * Double(mismatch[row, column]) }
            return sum
        }
        #expect(explained.allSatisfy { $0 > 0 })
        let half = solve(mismatch, factor, squares: explained.map { 2 * $0 })
        let isHalf = zip(half.elements(), s.elements()).allSatisfy { (found: Float, whole: Float) in abs(2 * found - whole) <= 2e-3 * abs(whole) + 1e-9 }
        #expect(isHalf)
        let nothing = solve(mismatch, factor, squares: Array(repeating: 0, count: 70))
        #expect(nothing.elements().allSatisfy { $0 == 0 })
    }

    /// A row has the same bits with any others, and with R in one place or in panels that came alone.
    @Test func rowsAreIndependentOfEachOther() throws {
        let layer = Layer(rows: 1, columns: columns), mismatch = mismatch(70)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.05, actOrder: true, isNarrowed: true)
        let squares = Array(repeating: 3.0, count: 70)
        let whole = solve(mismatch, factor, squares: squares)
        let rows = MismatchRows(mismatch, factor: factor.outline), panels = MismatchRows.panels(columns: columns)
        func alone(_ columns: Range<Int>) -> FactorPanel {
            FactorPanel(columns: columns, values: factor.panel(columns).values.copy(), isNarrowed: true, of: self.columns)
        }
        for panel in panels { rows.takeBackward(alone(panel)) }
        for panel in panels.reversed() { rows.takeForward(alone(panel)) }
        #expect(rows.finish(squares: squares).elements() == whole.elements())
    }
}
