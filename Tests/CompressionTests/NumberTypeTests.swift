// Types of numbers whose scales follow from the largest weight: codes, scales and errors.
//
// Expected bytes: compressed-tensors 0.20.1 on the weights of `NumberSample`.

import CKernels
import Compression
import LinearAlgebra
import Testing

@Suite struct NumberTypeTests {
    /// Weights that lie on ties, beyond the largest number, and at the ends of the subnormal range.
    @Test(arguments: [(cleave_e4m3, 8, Float8.e4m3), (cleave_e2m1, 4, Float4.e2m1)] as [(Int, Int, [Float])])
    func kernelsRoundToTheNearestNumber(type: Int, bits: Int, numbers: [Float]) {
        let known = numbers.filter { $0 >= 0 && $0.isFinite && $0.sign == .plus }.sorted()
        var weights: [Float] = []
        for (a, b) in zip(known, known.dropFirst()) {
            let middle = (a + b) / 2
            weights += [a, middle, middle.nextDown, middle.nextUp, (a + middle) / 2]
        }
        weights += [known[known.count - 1], 500, 1e30, .infinity, 1e-30, 0x1p-149]
        weights += weights.map { -$0 }
        weights += Array(repeating: 0, count: (32 - weights.count % 32) % 32)
        let count = weights.count, ones = [Float](repeating: 1, count: count), zeros = [Float](repeating: 0, count: count)
        var (codes, errors) = ([UInt8](repeating: 0, count: count), [Float](repeating: 0, count: count))
        cleave_round_column(weights, ones, zeros, cleave_numbers(type: Int32(type), max_code: 0), &codes, &errors, count)
        for (weight, (code, error)) in zip(weights, zip(codes, errors)) {
            let place = nearestPlace(weight.magnitude, known), number = known[place]
            #expect(Int(code) == place | (weight.sign == .minus ? 1 << (bits - 1) : 0), "\(weight)")
            #expect(numbers[Int(code)].magnitude == number)
            if weight.isFinite { #expect(error == weight - Float(signOf: weight, magnitudeOf: number)) }
        }
    }

    /// By comparison of distances; of equal ones the even place.
    private func nearestPlace(_ magnitude: Float, _ known: [Float]) -> Int {
        guard magnitude < known[known.count - 1] else { return known.count - 1 }
        let above = known.firstIndex { $0 > magnitude } ?? known.count - 1, below = above - 1
        let (down, up) = (Double(magnitude) - Double(known[below]), Double(known[above]) - Double(magnitude))
        return down < up || down == up && below % 2 == 0 ? below : above
    }

    @Test func codesOfPositiveNumbersAreThoseOfTheTable() {
        for (code, number) in Float8.e4m3[..<127].enumerated() {
            #expect(Float8.code(number) == UInt8(code))
            let next = Float8.e4m3[min(code + 1, 126)], middle = (number + next) / 2
            if code < 126 { #expect(Float8.code(middle) == UInt8(code % 2 == 0 ? code : code + 1)) }
        }
        #expect(Float8.code(1e9) == 0x7e)
    }

    @Test(arguments: NumberSample.all)
    func codesAndScalesAreThePackages(_ sample: NumberSample) throws {
        var options = QuantizationOptions(sample.number, strategy: sample.strategy)
        options.scaleType = .f32
        let tile = try roundToNearest(weights: NumberSample.weights, options: options)
        #expect(tile.codes.elements() == sample.codes)
        #expect(tile.divisor == sample.divisor)
        let scales = (0..<2).flatMap { row in (0..<tile.scales.columns).map { tile.scales[row, $0] } }
        #expect(scales == sample.scales)
        let weights = Matrix<Float>(uninitialized: 2, 32)
        tile.dequantize(into: weights)
        let width = 32 / tile.scales.columns
        for row in 0..<2 {
            for column in 0..<32 {
                let number = sample.numbers[Int(sample.codes[row * 32 + column])]
                #expect(weights[row, column] == number * sample.scales[row * tile.scales.columns + column / width])
            }
        }
    }

    @Test func microscaledBytesAreThePackages() throws {
        let tile = try roundToNearest(weights: NumberSample.weights, options: QuantizationOptions(.mxfp8))
        #expect(Array(tile.codes.elements().prefix(32)) == NumberSample.mxfp8.bytes)
        #expect(tile.scales.elements() == NumberSample.mxfp8.scales)
    }

    @Test(arguments: [(1.7421875, 0x7d), (1.75, 0x7e), (0, 0), (0x1p-126, 0)] as [(Float, Int)])
    func exponentsRiseFromOneAndThreeQuartersOn(largest: Float, byte: Int) throws {
        let weights = Matrix<Float>(repeating: 0, 1, 32)
        weights[0, 5] = -largest
        let tile = try roundToNearest(weights: weights, options: QuantizationOptions(.mxfp4))
        #expect(Int(tile.scales[0, 0].bitPattern >> 23) == byte)
    }

    @Test func rowsOfZerosHaveScalesThatDivide() throws {
        let weights = Matrix<Float>(repeating: 0, 3, 32)
        for (type, expected) in [(ScaleType.bf16, Float(0x1p-7)), (.f16, 0x1p-10), (.f32, 0x1p-23)] {
            for number in [NumberType.fp8, .int8] {
                var options = QuantizationOptions(number)
                options.scaleType = type
                let tile = try roundToNearest(weights: weights, options: options)
                #expect(tile.scales.elements() == [expected, expected, expected] && tile.clampedScales == 0)
            }
        }
        let tile = try roundToNearest(weights: weights, options: QuantizationOptions(.nvfp4))
        #expect(tile.divisor == 1 && tile.scales.elements() == Array(repeating: 0.125, count: 6))
    }

    /// On every grid the errors that GPTQ leaves in the outputs are below those of rounding, whose own are below those of coarser numbers.
    @Test(arguments: NumberType.allCases.filter { $0.rules != nil })
    func errorsAreMadeUpFor(number: NumberType) throws {
        let layer = Layer(rows: 160, columns: 256)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        for strategy in number.rules?.strategies ?? [] {
            let options = QuantizationOptions(number, strategy: strategy)
            let rounded = try roundToNearest(weights: layer.weights, options: options, factor: factor)
            let solved = try gptq(weights: layer.weights, factor: factor, options: options)
            let (a, b) = (solved.loss.reduce(0, +), rounded.loss.reduce(0, +))
            #expect(a < 0.6 * b, "\(number) \(strategy): \(a) of \(b)")
            guard strategy != .tensor else { continue }
            var searched = options
            searched.grid = options.hasDynamicGroups ? .solved : .hessian
            let best = try gptq(weights: layer.weights, factor: factor, options: searched).loss.reduce(0, +)
            #expect(best < 1.02 * a, "\(number) \(strategy): searched \(best), as the format says \(a)")
        }
    }

    /// The measured loss is that of the decoded weights.
    @Test(arguments: NumberType.allCases.filter { $0.rules != nil })
    func lossIsThatOfTheDecodedWeights(number: NumberType) throws {
        let layer = Layer(rows: 40, columns: 128)
        for actOrder in [false, true] {
            let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: actOrder)
            for strategy in number.rules?.strategies ?? [] {
                var options = QuantizationOptions(number, strategy: strategy, actOrder: actOrder)
                options.staticGroups = options.group > 0 && actOrder
                let tile = try gptq(weights: layer.weights, factor: factor, options: options)
                let decoded = Matrix<Float>(uninitialized: 40, 128)
                tile.dequantize(into: decoded)
                for (measured, expected) in zip(tile.loss, layer.loss(decoded, damping: factor.damping)) {
                    #expect(abs(measured - expected) <= 1e-3 * expected)
                }
            }
        }
    }

    /// Rows of a block share a scale, and the tile that holds them may be the first or the last of its linear.
    @Test(arguments: [Grid.minmax, .solved])
    func blocksShareAScale(grid: Grid) throws {
        let layer = Layer(rows: 300, columns: 256)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let options = QuantizationOptions(.fp8, strategy: .block, grid: grid)
        let whole = try gptq(weights: layer.weights, factor: factor, options: options)
        for block in (0..<300).cut(every: 128) {
            for group in 0..<2 { #expect(Set(block.map { whole.scales[$0, group] }).count == 1) }
        }
        let part = try gptq(weights: layer.weights.rows(128..<300), factor: factor, options: options)
        #expect(part.codes.elements() == Array(whole.codes.elements().suffix(172 * 256)))
    }

    @Test func scalesOfAWholeTensorAreThoseOfItsLargestWeight() throws {
        let layer = Layer(rows: 64, columns: 64)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        for (number, strategy) in [(NumberType.fp8, ScaleStrategy.tensor), (.nvfp4, .group)] {
            let options = QuantizationOptions(number, strategy: strategy)
            let whole = try gptq(weights: layer.weights, factor: factor, options: options)
            let magnitude = maxMagnitude(layer.weights)
            for rows in [0..<32, 32..<64] {
                let tile = try gptq(weights: layer.weights.rows(rows), factor: factor, options: options, tensorMagnitude: magnitude)
                #expect(tile.codes.elements() == Array(whole.codes.elements()[rows.lowerBound * 64..<rows.upperBound * 64]))
                #expect(tile.divisor == whole.divisor)
            }
        }
    }

    @Test func whatDoesNotFitIsRefused() {
        var bits = QuantizationOptions(.nvfp4)
        bits.bits = 8
        var group = QuantizationOptions(.mxfp4)
        group.group = 64
        var zero = QuantizationOptions(.fp8)
        zero.symmetric = false
        for options in [bits, group, zero, QuantizationOptions(.fp8, strategy: .tensor, grid: .mse)] {
            #expect(throws: CompressionError.self) { try roundToNearest(weights: NumberSample.weights, options: options) }
        }
    }
}
