// Products against their definition in fp64, at odd shapes, transposed, and on windows.

import Foundation
import LinearAlgebra
import Testing

struct ProductShape: Sendable, CustomTestStringConvertible {
    let m: Int
    let n: Int
    let k: Int

    var testDescription: String { "[\(m), \(k)] [\(k), \(n)]" }

    static let all = [(1, 1, 1), (1, 7, 3), (5, 1, 17), (3, 5, 1), (8, 8, 8), (33, 17, 65), (64, 100, 31), (130, 129, 257)].map(Self.init)

    init(_ shape: (m: Int, n: Int, k: Int)) {
        (m, n, k) = shape
    }

    /// op(a) [m, k], stored as asked.
    func a(transposed: Bool) -> Matrix<Float> { transposed ? randomMatrix(k, m, seed: 1) : randomMatrix(m, k, seed: 1) }
    func b(transposed: Bool) -> Matrix<Float> { transposed ? randomMatrix(n, k, seed: 2) : randomMatrix(k, n, seed: 2) }
}

/// op(a) op(b) in fp64.
private func naive(_ a: Matrix<Float>, _ b: Matrix<Float>, _ transposeA: Bool, _ transposeB: Bool) -> [Double] {
    let (a, b) = (transposeA ? a.transposed() : a, transposeB ? b.transposed() : b)
    return (0..<a.rows).flatMap { i in (0..<b.columns).map { j in (0..<a.columns).reduce(0) { $0 + Double(a[i, $1]) * Double(b[$1, j]) } } }
}

private func largestError(_ found: [Double], _ expected: [Double]) -> Double { zip(found, expected).map { abs($0 - $1) }.max() ?? 0 }

@Suite struct ProductTests {
    /// Each expert has its own number of tokens, and so products of shapes of its own. Code for a shape takes tens of KB.
    @Test func generatedCodeDoesNotPileUp() throws {
        func residentBytes() throws -> Int {
            let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
            return try #require(text.split(separator: " ").dropFirst().first.flatMap { Int($0) }) * sysconf(Int32(_SC_PAGESIZE))
        }
        func multiplyRows(_ rows: Range<Int>) {
            let (a, b) = (Matrix<BFloat16>(repeating: BFloat16(0), rows.upperBound, 64), Matrix<BFloat16>(repeating: BFloat16(0), 64, 64))
            let c = Matrix<Float>(repeating: 0, rows.upperBound, 64)
            for rows in rows { multiply(a.rows(0..<rows), b, into: c.rows(0..<rows)) }
        }
        multiplyRows(1..<1 + ProductCache.usual)
        let few = try residentBytes()
        multiplyRows(1 + ProductCache.usual..<1400)
        let growth = try residentBytes() - few
        #expect(growth < 12 << 20, "\(growth) bytes for 1200 shapes")
    }

    @Test(arguments: ProductShape.all, [(false, false), (false, true), (true, false), (true, true)])
    func fp32(shape: ProductShape, transposed: (a: Bool, b: Bool)) {
        let (a, b) = (shape.a(transposed: transposed.a), shape.b(transposed: transposed.b))
        let expected = naive(a, b, transposed.a, transposed.b)
        // What lies around the windows must not enter.
        let c = Matrix<Float>(repeating: 0, shape.m, shape.n).asWindow(7)
        multiply(a.asWindow(.nan), b.asWindow(.nan), transposeA: transposed.a, transposeB: transposed.b, into: c)
        #expect(largestError(c.elements().map(Double.init), expected) < 1e-6 * Double(shape.k))
        // c = 2 op(a) op(b) - c
        multiply(a, b, transposeA: transposed.a, transposeB: transposed.b, into: c, alpha: 2, beta: -1)
        #expect(largestError(c.elements().map(Double.init), expected) < 3e-6 * Double(shape.k))
    }

    @Test(arguments: ProductShape.all, [(false, false), (false, true), (true, false), (true, true)])
    func fp64(shape: ProductShape, transposed: (a: Bool, b: Bool)) {
        let (a, b) = (shape.a(transposed: transposed.a), shape.b(transposed: transposed.b))
        let expected = naive(a, b, transposed.a, transposed.b)
        let c = Matrix<Double>(repeating: 0, shape.m, shape.n).asWindow(7)
        multiply(a.map { Double($0) }.asWindow(.nan), b.map { Double($0) }.asWindow(.nan), transposeA: transposed.a, transposeB: transposed.b, into: c)
        #expect(largestError(c.elements(), expected) < 1e-15 * Double(shape.k))
    }

    @Test(arguments: ProductShape.all, [(false, false), (false, true), (true, false), (true, true)])
    func bf16(shape: ProductShape, transposed: (a: Bool, b: Bool)) {
        let a = shape.a(transposed: transposed.a).map { BFloat16($0) }, b = shape.b(transposed: transposed.b).map { BFloat16($0) }
        let expected = naive(a.map(\.float), b.map(\.float), transposed.a, transposed.b)
        let wide = Matrix<Float>(repeating: 0, shape.m, shape.n).asWindow(7)
        multiply(a.asWindow(BFloat16(.nan)), b.asWindow(BFloat16(.nan)), transposeA: transposed.a, transposeB: transposed.b, into: wide)
        #expect(largestError(wide.elements().map(Double.init), expected) < 1e-6 * Double(shape.k))
        let narrow = Matrix<BFloat16>(repeating: BFloat16(0), shape.m, shape.n)
        multiply(a, b, transposeA: transposed.a, transposeB: transposed.b, into: narrow)
        #expect(zip(narrow.elements(), expected).allSatisfy { abs(Double($0.float) - $1) <= abs($1) * 0x1p-8 + 1e-6 * Double(shape.k) })
    }

    /// Packing moves elements and changes no bit, wherever they come from, for any number of rows on the left.
    @Test(arguments: ProductShape.all + [(1024, 100, 60), (777, 192, 576), (512, 1000, 36), (100, 704, 256), (16, 1536, 577)].map(ProductShape.init))
    func packed(shape: ProductShape) {
        let a = shape.a(transposed: false).map { BFloat16($0) }, b = shape.b(transposed: true).map { BFloat16($0) }
        let expected = naive(a.map(\.float), b.map(\.float), false, true)
        func product(_ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>) -> [Float] {
            let result = Matrix<Float>(repeating: 0, shape.m, shape.n)
            multiply(a, transposed: PackedMatrix(b), into: result)
            return result.elements()
        }
        let packed = product(a, b)
        #expect(largestError(packed.map(Double.init), expected) < 1e-6 * Double(shape.k))
        #expect(packed == product(a, b.asWindow(BFloat16(.nan))))
        // What lies around the windows must not enter. Their products may round in another order.
        let windows = Matrix<Float>(repeating: 0, shape.m, shape.n).asWindow(7)
        multiply(a.asWindow(BFloat16(.nan)), transposed: PackedMatrix(b.asWindow(BFloat16(.nan))), into: windows)
        #expect(largestError(windows.elements().map(Double.init), expected) < 1e-6 * Double(shape.k))
    }

    @Test func productsWithNothingInThem() {
        let c = Matrix<Float>(repeating: 7, 2, 3)
        multiply(Matrix<Float>(repeating: 0, 2, 0), Matrix<Float>(repeating: 0, 0, 3), into: c)
        #expect(c.elements() == [Float](repeating: 0, count: 6))
        multiply(Matrix<Float>(repeating: 0, 0, 4), Matrix<Float>(repeating: 0, 4, 3), into: Matrix<Float>(repeating: 0, 0, 3))
        let wide = Matrix<Float>(repeating: 7, 2, 3)
        multiply(Matrix<BFloat16>(repeating: BFloat16(0), 2, 0), Matrix<BFloat16>(repeating: BFloat16(0), 0, 3), into: wide)
        #expect(wide.elements() == [Float](repeating: 0, count: 6))
    }
}
