// The factor of a Hessian, and what is refused.

import LinearAlgebra
import Testing

import Compression

@Suite struct FactorTests {
    @Test(arguments: [false, true])
    func productIsTheDampedHessian(actOrder: Bool) throws {
        let layer = Layer(rows: 1, columns: 300)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.02, actOrder: actOrder)
        let order = factor.permutation ?? Array(0..<300)
        let diagonal = order.map { layer.hessian[$0, $0] }
        #expect(abs(factor.damping - 0.02 * diagonal.reduce(0, +) / 300) < 1e-9 * factor.damping)
        #expect((factor.permutation != nil) == actOrder && factor.attempts == 1 && factor.dampingFraction == 0.02)
        if actOrder { #expect(zip(diagonal, diagonal.dropFirst()).allSatisfy { $0 >= $1 }) }
        let product = Matrix<Float>(uninitialized: 300, 300)
        multiply(factor.r, factor.r, transposeB: true, into: product)
        for i in 0..<300 {
            for j in 0..<300 {
                let (a, b) = (min(order[i], order[j]), max(order[i], order[j]))
                let expected = layer.hessian[a, b] + (a == b ? factor.damping : 0)
                #expect(abs(Double(product[i, j]) - expected) < 1e-5 * max(diagonal[i], diagonal[j]))
                if j < i { #expect(factor.r[i, j] == 0) }
            }
        }
    }

    @Test func equalDiagonalsKeepTheirOrder() throws {
        let hessian = Matrix<Double>(repeating: 0, 5, 5)
        for (index, value) in [2.0, 3, 2, 3, 0].enumerated() { hessian[index, index] = value }
        let factor = try factor(hessian: hessian, dampingFraction: 0.01, actOrder: true)
        #expect(factor.permutation == [1, 3, 0, 2, 4])
        #expect(factor.deadColumns == [4] && factor.deadPositions == [4])
    }

    /// A column without input has the damping alone, which is a share of the mean of the others; grids and masks take it for the one in the middle.
    @Test func aDeadColumnHasTheDamping() throws {
        let hessian = Matrix<Double>(repeating: 0, 5, 5)
        for (index, value) in [4.0, 1, 0, 9, 0].enumerated() { hessian[index, index] = value }
        for actOrder in [false, true] {
            let factor = try factor(hessian: hessian, dampingFraction: 0.03, actOrder: actOrder)
            #expect(factor.deadColumns == [2, 4])
            #expect(abs(factor.damping - 0.14) < 1e-12)
            let positions = factor.outline.deadPositions
            let expected = actOrder ? [3, 4] : [2, 4]
            #expect(positions == expected)
            for position in positions {
                let (own, compared): (Float, Float) = (factor.r[position, position], factor.outline.comparedDiagonal[position])
                #expect(abs(own * own - 0.14) < 1e-6)
                #expect(abs(compared * compared - 4.14) < 1e-5)
            }
            for position in 0..<5 where !positions.contains(position) {
                let compared = factor.outline.comparedDiagonal[position]
                #expect(compared == factor.r[position, position])
            }
            let norms: [Float] = [2, 1, 2, 3, 2]
            #expect(factor.outline.inputNorms == norms)
        }
    }

    /// A damping that is a share of each column's own diagonal, and a penalty on top of it; dead columns have a share of the mean.
    @Test(arguments: [0, 0.7], [UpdatePrecision.fp32, .fp64])
    func aDampingByColumn(penalty: Double, precision: UpdatePrecision) throws {
        let layer = Layer(rows: 1, columns: 300, dead: [7])
        let factor = try factor(
            hessian: layer.hessian, dampingFraction: 0.1, actOrder: false, precision: precision, scale: .column, penalty: penalty)
        let mean = (0..<300).reduce(0) { $0 + layer.hessian[$1, $1] } / 299
        let product = Matrix<Float>(uninitialized: 300, 300)
        multiply(factor.r, factor.r, transposeB: true, into: product)
        for i in 0..<300 {
            for j in i..<300 {
                let damped = i == 7 ? 0.1 * mean : 1.1 * layer.hessian[i, i]
                let expected = i == j ? damped * (1 + penalty) : layer.hessian[i, j]
                #expect(abs(Double(product[i, j]) - expected) < 1e-5 * (layer.hessian[i, i] * layer.hessian[j, j]).squareRoot() + 1e-6 * mean)
            }
        }
    }

    @Test func aHessianOfZerosIsRefused() {
        let error = #expect(throws: CompressionError.self) {
            try factor(hessian: Matrix<Double>(repeating: 0, 3, 3), dampingFraction: 0.01, actOrder: false)
        }
        #expect(error == .noInput(columns: 3))
    }

    @Test func aSingularHessianIsDampedUntilItIsNot() throws {
        let hessian = Matrix<Double>(repeating: 1, 8, 8)
        let factor = try factor(hessian: hessian, dampingFraction: 0, actOrder: false)
        #expect(factor.attempts == 2 && factor.dampingFraction == 1e-6 && factor.damping == 1e-6)
    }

    /// Products in fp32 serve where they lose little, and nowhere else.
    @Test func fp32GivesWayToFP64() throws {
        let layer = Layer(rows: 1, columns: 600)
        let exact = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: true)
        let rounded = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: true, precision: .fp32)
        #expect(rounded.r.elements() != exact.r.elements() && rounded.attempts == 1)
        for (index, value) in exact.outline.diagonalOfR.enumerated() { #expect(abs(rounded.outline.diagonalOfR[index] / value - 1) < 1e-4) }
        let nearlySingular = Matrix<Double>(repeating: 1, 600, 600)
        let results = try [UpdatePrecision.fp32, .fp64].map { try factor(hessian: nearlySingular, dampingFraction: 1e-7, actOrder: false, precision: $0) }
        #expect(results[0].r.elements() == results[1].r.elements())
        #expect(results.map(\.attempts) == [1, 1] && results.map(\.dampingFraction) == [1e-7, 1e-7])
    }

    @Test func anIndefiniteHessianIsRefused() {
        let hessian = Matrix<Double>(repeating: 0, 4, 4)
        for index in 0..<4 { hessian[index, index] = index == 2 ? -5 : 1 }
        let error = #expect(throws: CompressionError.self) { try factor(hessian: hessian, dampingFraction: 0.01, actOrder: false) }
        #expect(error == .notPositiveDefinite(column: 2, dampingFraction: 1, attempts: 3))
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func aHessianThatIsNotFiniteIsRefused(value: Double) {
        let layer = Layer(rows: 1, columns: 40)
        layer.hessian[3, 17] = value
        let error = #expect(throws: CompressionError.self) { try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: true) }
        #expect(error == .hessianNotFinite(row: 3, column: 17))
    }

    @Test func aHessianOutOfFloatsRangeIsRefused() {
        let hessian = Matrix<Double>(repeating: 0, 2, 2)
        (hessian[0, 0], hessian[1, 1]) = (1e-90, 1e-90)
        #expect(throws: CompressionError.self) { try factor(hessian: hessian, dampingFraction: 0.01, actOrder: false) }
    }
}

@Suite struct RefusalTests {
    private let layer = Layer(rows: 3, columns: 64)

    @Test func optionsOutOfRange() {
        #expect(throws: CompressionError.self) { try QuantizationOptions(bits: 5).validate() }
        #expect(throws: CompressionError.self) { try QuantizationOptions(group: 0).validate() }
        #expect(throws: CompressionError.self) { try QuantizationOptions(group: 8).validate() }
        #expect(throws: CompressionError.self) { try QuantizationOptions(grid: .solved, staticGroups: true).validate() }
        #expect(throws: CompressionError.self) { try QuantizationOptions(group: -1, grid: .solved).validate() }
        #expect(throws: CompressionError.self) { try factor(hessian: layer.hessian, dampingFraction: 2, actOrder: false) }
        #expect(throws: CompressionError.self) { try factor(hessian: layer.hessian, dampingFraction: .nan, actOrder: false) }
    }

    @Test func weightsThatAreNotFinite() throws {
        layer.weights[2, 9] = .infinity
        let error = #expect(throws: CompressionError.self) { try roundToNearest(weights: layer.weights, options: QuantizationOptions()) }
        #expect(error == .weightsNotFinite(row: 2, column: 9))
    }

    @Test func factorsOfOtherLayersOrOptions() throws {
        let plain = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let ordered = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: true)
        #expect(throws: CompressionError.self) { try gptq(weights: layer.weights.columns(0..<32), factor: plain, options: .init()) }
        #expect(throws: CompressionError.self) { try gptq(weights: layer.weights, factor: ordered, options: .init()) }
        #expect(throws: CompressionError.self) { try roundToNearest(weights: layer.weights, options: .init(grid: .hessian)) }
    }

    @Test func groupsCoverTheColumns() {
        #expect(QuantizationOptions(group: 64).groups(columns: 130) == [0..<64, 64..<128, 128..<130])
        #expect(QuantizationOptions(group: 64).groupCount(columns: 130) == 3)
        #expect(QuantizationOptions(group: -1).groups(columns: 130) == [0..<130])
        #expect(QuantizationOptions(group: 64).groups(columns: 0).isEmpty)
    }

    @Test(arguments: [16, 20, 32, 48, 64, 96, 100, 128, 130, 256, 1000])
    func rangesBeginWhereGroupsDo(group: Int) {
        let widths = ColumnRanges.widths(group: group)
        #expect(widths == widths.sorted(by: >) && widths.contains(group))
        #expect(widths.filter { $0 > group }.allSatisfy { $0 % group == 0 })
        #expect((widths.last ?? 0) <= ColumnRanges.leafColumns)
    }
}
