// Rows and columns exchanged, by the plain code and by the kernel for 16-bit elements.

import LinearAlgebra
import Testing

@Suite struct TranspositionTests {
    @Test(arguments: [(1, 1), (8, 8), (32, 32), (33, 31), (64, 96), (7, 130), (100, 40)])
    func everyElementIsExchanged(rows: Int, columns: Int) {
        let source = Matrix<BFloat16>(uninitialized: rows, columns)
        for index in 0..<source.count { source.base[index] = BFloat16(bits: UInt16(truncatingIfNeeded: index &* 40503)) }
        let expected = source.transposed()
        #expect((0..<rows).allSatisfy { row in (0..<columns).allSatisfy { expected[$0, row] == source[row, $0] } })
        let target = Matrix<BFloat16>(uninitialized: columns, rows)
        transpose(source, into: target)
        #expect(target.elements() == expected.elements())
        // Windows: nothing beside them is read as theirs, or written.
        let around = Matrix<BFloat16>(repeating: BFloat16(.nan), columns + 2, rows + 3)
        let window = around.rows(1..<columns + 1).columns(2..<rows + 2)
        transpose(source.asWindow(BFloat16(.nan)), into: window)
        #expect(window.elements() == expected.elements())
        #expect((0..<rows + 3).allSatisfy { around[0, $0].float.isNaN && around[columns + 1, $0].float.isNaN })
        #expect((0..<columns + 2).allSatisfy { around[$0, 1].float.isNaN && around[$0, rows + 2].float.isNaN })
    }
}
