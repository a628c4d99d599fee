// Matrices, their windows and copies.

import Foundation
import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct MatrixTests {
    private let matrix = Matrix((0..<12).map { Int32($0) }, 3, 4)

    @Test func windowsSeeTheSameElements() {
        let window = matrix.rows(1..<3).columns(1..<3)
        #expect((window.rows, window.columns, window.stride, window.count) == (2, 2, 4, 4))
        #expect(window.elements() == [5, 6, 9, 10])
        window[1, 0] = 70
        #expect(matrix[2, 1] == 70)
        #expect(!window.isContiguous && window.rows(0..<1).isContiguous && matrix.rows(1..<3).isContiguous && window.columns(0..<0).count == 0)
        #expect(window.rows(1..<2).columns(1..<2)[0, 0] == 10)
    }

    @Test func windowsKeepTheMemoryAlive() {
        func window() -> Matrix<Float> { randomMatrix(1000, 100, seed: 1).rows(500..<501) }
        #expect(window().elements() == Array(randomFloats(100_000, seed: 1)[50_000..<50_100]))
    }

    @Test func copiesAreTheirOwn() {
        let copy = matrix.columns(2..<4).copy()
        #expect(copy.isContiguous && copy.elements() == [2, 3, 6, 7, 10, 11])
        copy[0, 0] = 99
        #expect(matrix[0, 2] == 2)
        matrix.columns(0..<2).assign(copy)
        #expect(matrix.elements() == [99, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11])
    }

    @Test func bytesAreThoseOfTheElements() {
        matrix.withBytes { bytes in
            #expect(bytes.count == 48 && bytes.loadUnaligned(fromByteOffset: 44, as: Int32.self) == 11)
            #expect(UInt(bitPattern: bytes.baseAddress) % 64 == 0)
        }
        #expect(matrix.rows(1..<2).columns(1..<3).withBytes { $0.count } == 8)
    }

    @Test(arguments: [(0, 3), (1, 1), (1, 40), (31, 33), (32, 32), (65, 130)])
    func transposedExchangesRowsAndColumns(rows: Int, columns: Int) {
        let matrix = randomMatrix(rows, columns, seed: 2)
        for source in [matrix, matrix.asWindow(.nan)] {
            let transposed = source.transposed()
            #expect((transposed.rows, transposed.columns) == (columns, rows))
            #expect(transposed.elements() == (0..<columns).flatMap { column in (0..<rows).map { matrix[$0, column] } })
        }
    }

    @Test func zerosInUsedMemory() {
        _ = Matrix<Double>(repeating: 7, 1031, 1033)
        #expect(Matrix<Double>(zeros: 1031, 1033).elements().allSatisfy { $0 == 0 })
    }
}
