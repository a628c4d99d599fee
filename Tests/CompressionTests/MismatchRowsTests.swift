// Rows of M (H + damping)^-1 against a solution in doubles.

import LinearAlgebra
import SeededNumbers
import Testing

import Compression

@Suite struct MismatchRowsTests {
    private let columns = 2 * MismatchRows.panelColumns + 44

    /// M, some rows of it. [rows, columns]
    private func mismatch(_ rows: Int) -> Matrix<Double> {
        Matrix(randomFloats(rows * columns, seed: 5).map { Double($0) }, rows, columns)
    }

    private func solve(_ mismatch: Matrix<Double>, _ factor: Factor, squares: [Double]) -> Matrix<Float> {
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
        let product = Matrix<Double>(uninitialized: 70, columns), exact = s.map { Double($0) }
        multiply(exact, damped, into: product)
        for row in 0..<70 {
            #expect((0..<columns).allSatisfy { abs(product[row, $0] - mismatch[row, $0]) < 2e-3 }, "row \(row)")
        }
        // Twice what is explained: half of it. Nothing known of the mismatch, or none: nothing.
        let explained = (0..<70).map { row in (0..<columns).reduce(0.0) { $0 + exact[row, $1] * mismatch[row, $1] } }
        #expect(explained.allSatisfy { $0 > 0 })
        let half = solve(mismatch, factor, squares: explained.map { 2 * $0 })
        #expect(zip(half.elements(), s.elements()).allSatisfy { abs($0 - $1 / 2) <= 1e-3 * abs($1) + 1e-9 })
        #expect(solve(mismatch, factor, squares: Array(repeating: 0, count: 70)).elements().allSatisfy { $0 == 0 })
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
