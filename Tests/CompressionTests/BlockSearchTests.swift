// Scales of blocks, and the column loop on them, against definitions in double precision.

import CKernels
import Compression
import Foundation
import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct BlockSearchTests {
    static let types = NumberType.allCases.filter { $0.blocks != nil }

    private func squaredError(_ tile: QuantizedTile, _ weights: Matrix<Float>, _ importance: [Double]? = nil) -> Double {
        let result = Matrix<Float>(uninitialized: weights.rows, weights.columns)
        tile.dequantize(into: result)
        var sum = 0.0
        for row in 0..<weights.rows {
            for column in 0..<weights.columns {
                let error = Double(result[row, column]) - Double(weights[row, column])
                sum += error * error * (importance?[column] ?? 1)
            }
        }
        return sum
    }

    /// Every code is the nearest of its grid, and no searched grid is worse than that of the whole range.
    @Test(arguments: types) func codesAreNearest(number: NumberType) throws {
        let layer = Layer(rows: 37, columns: 512, seed: 5), rules = try #require(number.blocks), numbers = rules.numbers
        let plain = try roundToNearest(weights: layer.weights, options: QuantizationOptions(number))
        let searched = try roundToNearest(weights: layer.weights, options: QuantizationOptions(number, grid: .mse))
        for tile in [plain, searched] {
            let blocks = try #require(tile.blocks)
            for row in 0..<37 {
                for column in 0..<512 {
                    let (scale, offset) = blocks.grid(row, column / rules.groupColumns, rules), weight = Double(layer.weights[row, column])
                    let errors = (0...rules.maxCode).map { abs(Double(scale) * Double(numbers[$0]) - Double(offset) - weight) }
                    let own = errors[Int(tile.codes[row, column])]
                    #expect(own <= (errors.min() ?? 0) * (1 + 1e-5) + 1e-7, "row \(row), column \(column)")
                }
            }
        }
        #expect(squaredError(searched, layer.weights) <= squaredError(plain, layer.weights) * (number == .q8_0 ? 1.000001 : 0.97))
    }

    /// GPTQ on a block's grid: codes by the column loop's definition in double precision, where no tie of fp32 decides.
    @Test(arguments: types) func columnLoopFollowsItsDefinition(number: NumberType) throws {
        let layer = Layer(rows: 8, columns: 512, seed: 7)
        let made = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let options = QuantizationOptions(number, grid: .hessian, staticGroups: true)
        let tile = try gptq(weights: layer.weights, factor: made, options: options), rules = try #require(number.blocks), blocks = try #require(tile.blocks)
        let r = made.r, numbers = rules.numbers
        var different = 0
        for row in 0..<8 {
            var errors = [Double](repeating: 0, count: 512)
            for column in 0..<512 {
                let pushed = (0..<column).reduce(0.0) { $0 + errors[$1] * Double(r[$1, column]) }
                let weight = Double(layer.weights[row, column]), v = weight + pushed / Double(r[column, column])
                let (scale, offset) = blocks.grid(row, column / rules.groupColumns, rules)
                let distances = (0...rules.maxCode).map { abs(Double(scale) * Double(numbers[$0]) - Double(offset) - v) }
                let code = Int(tile.codes[row, column])
                if scale != 0, distances[code] > distances.min() ?? 0 { different += 1 }
                // Goes on from what the tile has, so that one tie is one difference.
                errors[column] = weight - (Double(scale) * Double(numbers[code]) - Double(offset))
            }
        }
        #expect(different <= 4, "\(different) codes")
    }

    /// The order of columns moves whole blocks, and what is lost is less than by rounding.
    @Test(arguments: types) func losesLessThanRounding(number: NumberType) throws {
        let layer = Layer(rows: 40, columns: 512, seed: 11)
        for (actOrder, wholeGroups, staticGroups) in [(false, false, false), (true, true, false), (true, false, true)] {
            let options = QuantizationOptions(number, grid: .hessian, actOrder: actOrder, wholeGroups: wholeGroups, staticGroups: staticGroups)
            let made = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: actOrder, wholeGroups: options.widthOfWholeGroups)
            let solved = try gptq(weights: layer.weights, factor: made, options: options)
            let rounded = try roundToNearest(weights: layer.weights, options: QuantizationOptions(number, grid: .mse, actOrder: actOrder), factor: made)
            #expect(solved.loss.reduce(0, +) < rounded.loss.reduce(0, +), "\(options)")
        }
    }

    /// The kernels against their definitions in double precision: errors, and the least squares of scale and offset over the codes of a first guess.
    @Test(arguments: [cleave_offset_free, cleave_offset_positive, cleave_offset_of_zero]) func kernelsFollowTheirDefinitions(rule: cleave_offset_rule) {
        let (columns, lanes, maxCode) = (16, 32, 15.0), layer = Layer(rows: 16, columns: 32, seed: 3)
        let importance = (0..<columns).map { Float(1 + $0 % 5) }, zero = 8.0
        let scales = Matrix<Float>(repeating: 0.15, 1, lanes)
        let offsets = Matrix<Float>(repeating: rule == cleave_offset_of_zero ? 1.2 : 0.9, 1, lanes), errors = Matrix<Double>(repeating: 0, 1, lanes)
        let (firstScale, firstOffset) = (Double(scales[0, 0]), Double(offsets[0, 0]))
        let numbers = cleave_numbers(type: Int32(cleave_blocks), max_code: Float(maxCode))
        cleave_block_error(layer.weights.base, columns, lanes, importance, numbers, scales.base, offsets.base, errors.base)
        cleave_fit_block(layer.weights.base, columns, lanes, importance, numbers, rule, Float(zero), scales.base, offsets.base)
        for lane in 0..<lanes {
            let x = (0..<columns).map { Double(layer.weights[$0, lane]) }, u = importance.map { Double($0) }
            let q = x.map { min(max((($0 + firstOffset) / firstScale).rounded(.toNearestOrEven), 0), maxCode) }
            func sum(_ term: (Int) -> Double) -> Double { (0..<columns).reduce(0) { $0 + u[$1] * term($1) } }
            func error(_ scale: Double, _ offset: Double) -> Double { sum { pow(scale * q[$0] - offset - x[$0], 2) } }
            #expect(abs(errors[0, lane] / error(firstScale, firstOffset) - 1) < 1e-5)
            let found = error(Double(scales[0, lane]), Double(offsets[0, lane]))
            #expect(found <= error(firstScale, firstOffset) * (1 + 1e-6))
            // No neighbour is better under the rule.
            for step in [-1e-3, 1e-3] {
                let scale = Double(scales[0, lane]) + step
                #expect(error(scale, rule == cleave_offset_of_zero ? scale * zero : Double(offsets[0, lane])) >= found * (1 - 1e-6))
                let offset = Double(offsets[0, lane]) + step
                if rule == cleave_offset_free || rule == cleave_offset_positive && offset >= 0 {
                    #expect(error(Double(scales[0, lane]), offset) >= found * (1 - 1e-6))
                }
            }
        }
    }

    /// The kernels on a table of numbers: codes of the nearest, and the least squares of the scale over them.
    @Test func kernelsTakeNumbersFromATable() throws {
        let table: [Double] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
        let rules = try #require(NumberType.iq4_nl.blocks)
        #expect(rules.numbers.map { Double($0) } == table && rules.byteCount == 18)
        let (columns, lanes) = (32, 32), layer = Layer(rows: 32, columns: 32, seed: 9), importance = (0..<columns).map { Float(1 + $0 % 3) }
        let numbers = cleave_numbers(type: Int32(cleave_iq4_nl_blocks), max_code: 15)
        // Scales of both signs.
        let scales = Matrix<Float>(repeating: 0.02, 1, lanes), offsets = Matrix<Float>(repeating: 0, 1, lanes), errors = Matrix<Double>(repeating: 0, 1, lanes)
        for lane in stride(from: 0, to: lanes, by: 2) { scales[0, lane] = -0.03 }
        let first = scales.copy()
        cleave_block_error(layer.weights.base, columns, lanes, importance, numbers, scales.base, offsets.base, errors.base)
        cleave_fit_block(layer.weights.base, columns, lanes, importance, numbers, cleave_offset_of_zero, 0, scales.base, offsets.base)
        for lane in 0..<lanes {
            let x = (0..<columns).map { Double(layer.weights[$0, lane]) }, u = importance.map { Double($0) }, scale = Double(first[0, lane])
            let q = x.map { x in table.min { abs($0 * scale - x) < abs($1 * scale - x) } ?? 0 }
            func sum(_ term: (Int) -> Double) -> Double { (0..<columns).reduce(0) { $0 + u[$1] * term($1) } }
            #expect(abs(errors[0, lane] / sum { pow(scale * q[$0] - x[$0], 2) } - 1) < 1e-5)
            #expect(abs(Double(scales[0, lane]) / (sum { x[$0] * q[$0] } / sum { q[$0] * q[$0] }) - 1) < 1e-5 && offsets[0, lane] == 0)
        }
    }

    @Test func zerosStayZeros() throws {
        for number in Self.types {
            let weights = Matrix<Float>(repeating: 0, 3, 256), result = Matrix<Float>(repeating: 1, 3, 256)
            try roundToNearest(weights: weights, options: QuantizationOptions(number, grid: .mse)).dequantize(into: result)
            #expect(result.elements().allSatisfy { $0 == 0 }, "\(number)")
        }
    }
}
