// The C kernels against their plain Swift references, at sizes around their unrolling.

import CKernels
import Foundation
import SeededNumbers
import Testing

@Suite struct KernelTests {
    @Test(arguments: [1, 2, 3, 5, 8, 17, 31, 32], [2, 4, 8])
    func quantizedColumnsAreTheReferences(columns: Int, bits: Int) {
        for rows in [32, 64, 96] {
            let input = KernelInput(columns: columns, rows: rows, bits: bits)
            let expected = KernelReference.quantizeColumns(input)
            var (errors, codes) = (input.sums, [UInt8](repeating: 0, count: columns * rows))
            var loss = [Double](repeating: 0, count: rows)
            var tile = cleave_columns()
            tile.columns = columns
            tile.rows = rows
            tile.factor_stride = columns
            withPointers(input, &errors) { factor, weights, errors in
                (tile.factor, tile.weights, tile.errors) = (factor, weights, errors)
                cleave_quantize_columns(&tile, input.scales, input.zeros, (0..<Int32(columns)).map { $0 }, input.numbers, &codes, &loss)
            }
            #expect(errors == expected.errors)
            #expect(codes == expected.codes)
            #expect(loss == expected.loss)
        }
    }

    @Test(arguments: [1, 2, 3, 5, 8, 17, 31, 32])
    func updatedColumnsAreTheReferences(columns: Int) {
        let input = KernelInput(columns: columns, rows: 64, bits: 4)
        var errors = input.sums
        var tile = cleave_columns()
        tile.columns = columns
        tile.rows = 64
        tile.factor_stride = columns
        withPointers(input, &errors) { factor, weights, errors in
            (tile.factor, tile.weights, tile.errors) = (factor, weights, errors)
            cleave_update_columns(&tile)
        }
        #expect(errors == KernelReference.updateColumns(input))
    }

    @Test(arguments: [1, 2, 3, 5, 8, 17, 31, 32], [2, 4, 8])
    func quantizedColumnsWithAMaskAreTheReferences(columns: Int, bits: Int) {
        let input = KernelInput(columns: columns, rows: 64, bits: bits)
        let expected = KernelReference.quantizeColumns(input, kept: input.kept)
        var (errors, codes) = (input.sums, [UInt8](repeating: 0, count: columns * 64))
        var loss = [Double](repeating: 0, count: 64)
        var tile = cleave_columns(columns: columns, rows: 64, factor: nil, factor_stride: columns, weights: nil, errors: nil)
        withPointers(input, &errors) { factor, weights, errors in
            (tile.factor, tile.weights, tile.errors) = (factor, weights, errors)
            cleave_quantize_kept_columns(&tile, input.scales, input.zeros, (0..<Int32(columns)).map { $0 }, input.maxCode, input.kept, &codes, &loss)
        }
        #expect(errors == expected.errors && codes == expected.codes && loss == expected.loss)
        #expect(zip(input.kept, zip(codes, input.zeros)).allSatisfy { $0 == 1 || Float($1.0) == $1.1 })
    }

    /// Types as the kernel counts them, one with a scale that brings values to its subnormal numbers.
    @Test(arguments: [1, 2, 3, 5, 8, 17, 31, 32], [(cleave_f32, 1), (cleave_f16, 1), (cleave_f16, 0x1p-16), (cleave_bf16, 1)] as [(Int, Float)])
    func prunedColumnsAreTheReferences(columns: Int, type: (number: Int, scale: Float)) {
        expectPruned(KernelInput(columns: columns, rows: 64, bits: 4, scale: type.scale), type: type.number)
    }

    /// Numbers on either side of the largest of f16.
    @Test func prunedColumnsMayOverflow() {
        let input = KernelInput(columns: 1, rows: 64, bits: 4, scale: 80000)
        expectPruned(input, type: cleave_f16)
        #expect(KernelReference.pruneColumns(input, type: cleave_f16).values.contains(.infinity))
    }

    private func expectPruned(_ input: KernelInput, type: Int) {
        let columns = input.columns
        let expected = KernelReference.pruneColumns(input, type: type)
        var (errors, values) = (input.sums, [Float](repeating: .nan, count: columns * 64))
        var loss = [Double](repeating: 0, count: 64)
        var tile = cleave_columns(columns: columns, rows: 64, factor: nil, factor_stride: columns, weights: nil, errors: nil)
        withPointers(input, &errors) { factor, weights, errors in
            (tile.factor, tile.weights, tile.errors) = (factor, weights, errors)
            cleave_prune_columns(&tile, input.kept, Int32(type), &values, &loss)
        }
        #expect(errors == expected.errors && values == expected.values && loss == expected.loss)
    }

    // Rows that are summed at once, and a set of 32 that is left over.
    @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 16, 31, 100, 128], [false, true])
    func blockErrorsWithAMaskAreTheReferences(columns: Int, solved: Bool) {
        let input = KernelInput(columns: columns, rows: 96, bits: 3)
        let expected = (0..<96).map { KernelReference.blockError(input, row: $0, solved: solved, kept: input.kept) }
        var (errors, scratch) = ([Double](repeating: 0, count: 96), [Float](repeating: 0, count: columns * Int(cleave_searched_rows)))
        let kernel = solved ? cleave_solved_kept_error : cleave_rounded_kept_error
        kernel(
            input.weights, input.kept, columns, 96, transposed(input), input.scales, input.zeros, input.maxCode, [Double](repeating: .infinity, count: 96),
            &errors, &scratch)
        #expect(errors == expected)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 16, 31, 100, 128], [false, true])
    func blockErrorsAreTheReferences(columns: Int, solved: Bool) {
        let input = KernelInput(columns: columns, rows: 96, bits: 3)
        let expected = (0..<96).map { KernelReference.blockError(input, row: $0, solved: solved) }
        #expect(blockErrors(input, solved, best: [Double](repeating: .infinity, count: 96)) == expected)
        // A search that gives up early may leave an error unfinished, but never below the best.
        let best = expected.enumerated().map { $0 % 8 == 0 ? $1 * 2 : $1 / 2 }
        for (row, error) in blockErrors(input, solved, best: best).enumerated() {
            #expect(expected[row] < best[row] ? error == expected[row] : error >= best[row])
        }
    }

    @Test(arguments: [1, 7, 8, 9, 33])
    func weightedErrorsAreSumsOfSquares(columns: Int) {
        let input = KernelInput(columns: columns, rows: 32, bits: 4)
        let weights = Array(input.factor.prefix(columns))
        var errors = [Double](repeating: 0, count: 32)
        let best = [Double](repeating: .infinity, count: 32)
        cleave_weighted_error(input.weights, columns, 32, weights, input.scales, input.zeros, input.numbers, best, &errors)
        for row in 0..<32 {
            let expected = zip(KernelReference.deltas(input, row: row), weights).map { Double($0 * $1) * Double($0 * $1) }.reduce(0, +)
            #expect(abs(errors[row] - expected) <= 1e-6 * expected)
        }
    }

    /// The first of equal errors comes first; an infinite error never enters.
    @Test(arguments: [1, 2, 4, 7])
    func leastErrorsAreThoseOfASort(count: Int) {
        let (rows, offered) = (64, 11)
        var random = SeededGenerator(seed: UInt64(count))
        let errors = (0..<offered).map { _ in (0..<rows).map { _ in random.next() % 9 == 0 ? Double.infinity : Double(random.next() % 16) } }
        var least = [Float](repeating: .infinity, count: count * rows), shrinks = [Float](repeating: -7, count: count * rows)
        var limits = [Double](repeating: .nan, count: rows)
        for (index, row) in errors.enumerated() {
            cleave_keep_least(row, [Float](repeating: Float(index), count: rows), rows, count, &least, &shrinks, &limits)
        }
        for row in 0..<rows {
            let finite = errors.indices.filter { errors[$0][row].isFinite }.sorted { (errors[$0][row], $0) < (errors[$1][row], $1) }
            let places = Array(repeating: (Float.infinity, Float(-7)), count: count)
            let expected = Array((finite.map { (Float(errors[$0][row]), Float($0)) } + places).prefix(count))
            #expect((0..<count).map { least[$0 * rows + row] } == expected.map(\.0) && (0..<count).map { shrinks[$0 * rows + row] } == expected.map(\.1))
            #expect(limits[row] == Double(expected[count - 1].0))
        }
    }

    @Test(arguments: [1, 7, 8, 9, 33])
    func powerErrorsAreThoseOfPow(columns: Int) {
        let input = KernelInput(columns: columns, rows: 32, bits: 4)
        var errors = [Double](repeating: 0, count: 32)
        let best = [Double](repeating: .infinity, count: 32)
        cleave_power_error(input.weights, columns, 32, input.scales, input.zeros, input.numbers, best, &errors)
        for row in 0..<32 {
            let expected = KernelReference.deltas(input, row: row).map { pow(Double(abs($0)), 2.4) }.reduce(0, +)
            #expect(abs(errors[row] - expected) <= 2e-6 * expected)
        }
    }

    @Test func powersHoldOverAllMagnitudes() {
        // With one column and a grid of one code at zero, the error is |x|^2.4 itself.
        let magnitudes = (-49..<50).map { Float(sign: .plus, exponent: $0, significand: 1.37) } + [0, 1e-30]
        for x in magnitudes {
            var errors = [Double](repeating: 0, count: 32)
            let ones = [Float](repeating: 1, count: 32), zeros = [Float](repeating: 0, count: 32)
            let numbers = cleave_numbers(type: Int32(cleave_integers), max_code: 0)
            cleave_power_error([Float](repeating: -x, count: 32), 1, 32, ones, zeros, numbers, [Double](repeating: .infinity, count: 32), &errors)
            let expected = x < 0x1p-50 ? 0 : pow(Double(x), 2.4)
            #expect(errors.allSatisfy { abs($0 - expected) <= 2e-6 * expected }, "\(x)")
        }
    }

    /// Grids of either direction, with scales that are kept within bounds.
    @Test(arguments: [1, 7, 33], [true, false])
    func gridsAreTheReferences(columns: Int, symmetric: Bool) {
        let (rows, bounds) = (96, Float(0.01)...0.15)
        let input = KernelInput(columns: columns, rows: rows, bits: 3)
        var weights = input.weights
        for j in 0..<columns { weights[j * rows + 5] = 0 }
        let ranges = KernelReference.ranges(weights, columns: columns, rows: rows)
        var (low, high) = ([Float](repeating: .nan, count: rows), [Float](repeating: .nan, count: rows))
        cleave_range(weights, columns, rows, &low, &high)
        #expect(low == ranges.low && high == ranges.high && low[5] == -1)
        let shrinks = (0..<rows).map { Float($0 + 1) / Float(rows) * (symmetric && $0 % 3 == 0 ? -1 : 1) }
        var (scales, zeros) = (low, high)
        cleave_scales(low, high, shrinks, input.maxCode, &scales, rows)
        cleave_zeros(low, shrinks, input.maxCode, symmetric ? 1 : 0, bounds.lowerBound, bounds.upperBound, &scales, &zeros, rows)
        let expected = (0..<rows).map {
            KernelReference.grid(low[$0], high[$0], shrink: shrinks[$0], maxCode: input.maxCode, isSymmetric: symmetric, bounds: bounds)
        }
        #expect(scales == expected.map(\.scale) && zeros == expected.map(\.zero))
        #expect(scales.contains { $0 < 0 } == symmetric)
        // One column has no range that wide.
        #expect(columns == 1 || scales.contains { $0.magnitude == bounds.upperBound })
    }

    /// R^T
    private func transposed(_ input: KernelInput) -> [Float] {
        let columns = input.columns
        return (0..<columns * columns).map { input.factor[$0 % columns * columns + $0 / columns] }
    }

    private func blockErrors(_ input: KernelInput, _ solved: Bool, best: [Double]) -> [Double] {
        let (columns, rows) = (input.columns, input.rows)
        var (errors, scratch) = ([Double](repeating: 0, count: rows), [Float](repeating: 0, count: columns * Int(cleave_searched_rows)))
        let kernel = solved ? cleave_solved_error : cleave_rounded_error
        kernel(
            input.weights, columns, rows, transposed(input), input.scales, input.zeros, input.numbers, best, &errors, &scratch)
        return errors
    }

    private func withPointers(
        _ input: KernelInput, _ errors: inout [Float],
        _ body: (UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?) -> Void
    ) {
        errors.withUnsafeMutableBufferPointer { errors in
            input.factor.withUnsafeBufferPointer { factor in
                input.weights.withUnsafeBufferPointer { body(factor.baseAddress, $0.baseAddress, errors.baseAddress) }
            }
        }
    }
}
