// What holds of GPTQ and rounding to nearest whatever the numbers.

import Compression
import LinearAlgebra
import Testing

@Suite struct GPTQTests {
    /// Every layout, each with one of the grids and scale types in turn.
    static let combinations: [QuantizationOptions] = {
        var result: [QuantizationOptions] = []
        for bits in [2, 3, 4, 8] {
            for group in [-1, 16, 48, 128, 150] {
                for (symmetric, signed) in [(false, false), (true, false), (true, true)] {
                    for (actOrder, staticGroups) in [(false, false), (false, true), (true, false), (true, true)] {
                        var options = QuantizationOptions(
                            bits: bits, group: group, symmetric: symmetric, signedScales: signed, actOrder: actOrder, staticGroups: staticGroups,
                            scaleType: ScaleType.allCases[result.count % 3])
                        options.grid = Grid.allCases[(result.count / 4 + bits) % (options.hasDynamicGroups ? 4 : 3)]
                        result.append(options)
                    }
                }
            }
        }
        return result
    }()

    private static let plain = Layer(rows: 5, columns: 200)

    @Test(arguments: combinations)
    func lossIsThatOfTheDecodedWeights(_ options: QuantizationOptions) throws {
        let layer = Self.plain
        let factor = try layer.factor(options)
        let tile = try gptq(weights: layer.weights, factor: factor, options: options)
        #expect(tile.scales.columns == options.groupCount(columns: 200))
        #expect(tile.codes.elements().allSatisfy { $0 <= options.maxCode })
        #expect(tile.zeros.elements().allSatisfy { options.symmetric ? $0 == 1 << (options.bits - 1) : $0 <= options.maxCode })
        let decoded = Matrix<Float>(repeating: .nan, 5, 200)
        tile.dequantize(into: decoded)
        for (loss, expected) in zip(tile.loss, layer.loss(decoded, damping: factor.damping)) {
            #expect(abs(loss - expected) <= 1e-4 * expected)
        }
        let nothing = Matrix<Float>(repeating: 0, 5, 200)
        for (energy, expected) in zip(tile.energy, layer.loss(nothing, damping: factor.damping)) {
            #expect(abs(energy - expected) <= 1e-4 * expected)
        }
    }

    /// Formats that store zero points less one cannot hold a zero point of 0: ranges then reach below zero, far enough, and no further.
    @Test(arguments: [2, 3, 4, 8], Grid.allCases)
    func zeroPointsAreAtLeastTheLeast(bits: Int, grid: Grid) throws {
        let plain = QuantizationOptions(bits: bits, group: 32, symmetric: false, grid: grid, scaleType: .f16)
        var raised = plain
        raised.leastZero = 1
        // All weights of every other row are positive.
        let layer = Layer(rows: 6, columns: 64)
        for row in [0, 2, 4] { for column in 0..<64 { layer.weights[row, column] = abs(layer.weights[row, column]) } }
        let factor = try layer.factor(plain)
        let (free, bound) = (
            try gptq(weights: layer.weights, factor: factor, options: plain), try gptq(weights: layer.weights, factor: factor, options: raised)
        )
        #expect(free.zeros.elements().contains(0) && bound.zeros.elements().allSatisfy { $0 >= 1 })
        guard grid == .minmax else { return }
        let rounded = try roundToNearest(weights: layer.weights, options: raised)
        let decoded = Matrix<Float>(repeating: .nan, 6, 64)
        rounded.dequantize(into: decoded)
        for row in 0..<6 {
            for column in 0..<64 { #expect(abs(decoded[row, column] - layer.weights[row, column]) <= 0.57 * rounded.scales[row, column / 32]) }
        }
        // A row that has its zero point within reach is as it was.
        for row in [1, 3, 5] where bits > 2 { #expect(bound.codes.rows(row..<row + 1).elements() == free.codes.rows(row..<row + 1).elements()) }
    }

    @Test(arguments: [2, 3, 4], [-1, 32])
    func beatsRoundingToNearest(bits: Int, group: Int) throws {
        let layer = Layer(rows: 40, columns: 256)
        for grid in [Grid.minmax, .mse, .hessian] {
            let options = QuantizationOptions(bits: bits, group: group, grid: grid)
            let factor = try layer.factor(options)
            let solved = try gptq(weights: layer.weights, factor: factor, options: options)
            let rounded = try roundToNearest(weights: layer.weights, options: options, factor: factor)
            #expect(solved.loss.reduce(0, +) < 0.6 * rounded.loss.reduce(0, +), "\(grid)")
            #expect(solved.energy == rounded.energy)
        }
    }

    /// Errors that are gathered in bf16 cost next to nothing, and the loss that is said is still the real one.
    @Test(arguments: [2, 3, 4], [(false, 64), (true, 64), (false, -1)] as [(Bool, Int)])
    func narrowedFactorsCostLittle(bits: Int, setting: (actOrder: Bool, group: Int)) throws {
        let layer = Layer(rows: 64, columns: 1600)
        let options = QuantizationOptions(bits: bits, group: setting.group, grid: .mse, actOrder: setting.actOrder, wholeGroups: setting.actOrder)
        let losses = try [false, true].map { isNarrowed in
            let factor = try Compression.factor(
                hessian: layer.hessian, dampingFraction: 0.01, actOrder: options.actOrder, wholeGroups: options.widthOfWholeGroups,
                precision: isNarrowed ? .fp32 : .fp64, isNarrowed: isNarrowed)
            let tile = try gptq(weights: layer.weights, factor: factor, options: options)
            let decoded = Matrix<Float>(uninitialized: 64, 1600)
            tile.dequantize(into: decoded)
            let loss = layer.loss(decoded, damping: factor.damping).reduce(0, +)
            #expect(abs(tile.loss.reduce(0, +) / loss - 1) < 1e-3)
            return loss
        }
        #expect(losses[1] < 1.01 * losses[0])
    }

    @Test(arguments: [2, 3, 4])
    func betterGridsCostLess(bits: Int) throws {
        let layer = Layer(rows: 64, columns: 256)
        let losses = try [Grid.minmax, .hessian, .solved].map { grid in
            let options = QuantizationOptions(bits: bits, group: 64, grid: grid)
            return try gptq(weights: layer.weights, factor: layer.factor(options), options: options).loss.reduce(0, +)
        }
        #expect(losses[1] < losses[0])
        #expect(losses[2] < 0.95 * losses[1])
    }

    /// Weights of the other sign have the same codes on the grids turned around.
    @Test(arguments: combinations.filter(\.signedScales))
    func signedGridsKnowNoSign(_ options: QuantizationOptions) throws {
        let layer = Layer(rows: 40, columns: 200)
        let factor = try layer.factor(options)
        let tile = try gptq(weights: layer.weights, factor: factor, options: options)
        let negated = Matrix(layer.weights.elements().map { -$0 }, 40, 200)
        let other = try gptq(weights: negated, factor: factor, options: options)
        #expect(other.codes.elements() == tile.codes.elements())
        #expect(other.scales.elements() == tile.scales.elements().map { -$0 })
        #expect(other.loss == tile.loss && tile.scales.elements().contains { $0 > 0 } && tile.scales.elements().contains { $0 < 0 })
    }

    @Test(arguments: [2, 3, 4], Grid.allCases)
    func signedGridsCostLess(bits: Int, grid: Grid) throws {
        let layer = Layer(rows: 64, columns: 256)
        let losses = try [false, true].map { signed in
            let options = QuantizationOptions(bits: bits, group: 64, signedScales: signed, grid: grid)
            return try gptq(weights: layer.weights, factor: layer.factor(options), options: options).loss.reduce(0, +)
        }
        #expect(losses[1] < losses[0])
    }

    /// Of the grids of either direction on which no weight errs by more than half a step it is the finest.
    @Test(arguments: [2, 3, 4, 8])
    func wholeSignedRangesHoldAllWeights(bits: Int) throws {
        let layer = Layer(rows: 8, columns: 64)
        for row in 0..<4 { for column in 0..<64 where layer.weights[row, column] > 0 { layer.weights[row, column] *= 0.25 * Float(row) } }
        let options = QuantizationOptions(bits: bits, group: 64, signedScales: true, scaleType: .f32)
        let tile = try roundToNearest(weights: layer.weights, options: options)
        let decoded = Matrix<Float>(uninitialized: 8, 64)
        tile.dequantize(into: decoded)
        let half = Float(1 << (bits - 1))
        for row in 0..<8 {
            let weights = (0..<64).map { layer.weights[row, $0] }, scale = tile.scales[row, 0]
            for column in 0..<64 { #expect(abs(decoded[row, column] - weights[column]) <= 0.5001 * scale.magnitude) }
            let (negative, positive) = (-weights.min()!, weights.max()!)
            let least = min(max(negative / (half + 0.5), positive / (half - 0.5)), max(positive / (half + 0.5), negative / (half - 0.5)))
            #expect(abs(scale.magnitude / least - 1) < 1e-6 && (scale < 0) == (positive > negative))
        }
    }

    @Test func roundingErrsByHalfAStepAtMost() throws {
        let layer = Layer(rows: 7, columns: 100)
        for options in Self.combinations where !options.symmetric && options.grid == .minmax && options.scaleType == .f32 {
            let tile = try roundToNearest(weights: layer.weights, options: options)
            let decoded = Matrix<Float>(uninitialized: 7, 100)
            tile.dequantize(into: decoded)
            let width = options.group == -1 ? 100 : options.group
            for row in 0..<7 {
                for column in 0..<100 {
                    #expect(abs(decoded[row, column] - layer.weights[row, column]) <= 0.5001 * tile.scales[row, column / width])
                }
            }
        }
    }

    /// Products of other shapes may round otherwise, so losses agree closely and not in every bit.
    @Test func tilesOfAnyHeightGiveTheSameCodes() throws {
        let layer = Layer(rows: 70, columns: 300)
        let options = QuantizationOptions(group: 64, grid: .hessian, actOrder: true)
        let factor = try layer.factor(options)
        let whole = try gptq(weights: layer.weights, factor: factor, options: options)
        for height in [1, 7, 32, 33] {
            for rows in stride(from: 0, to: 70, by: height).map({ $0..<min($0 + height, 70) }) {
                let tile = try gptq(weights: layer.weights.rows(rows), factor: factor, options: options)
                #expect(tile.codes.elements() == whole.codes.rows(rows).elements())
                #expect(tile.scales.elements() == whole.scales.rows(rows).elements())
                for (found, expected) in zip(tile.loss, whole.loss[rows]) { #expect(abs(found - expected) < 1e-6 * expected) }
            }
        }
    }

    @Test func threadsDoNotChangeBits() throws {
        let layer = Layer(rows: 64, columns: 520)
        let options = QuantizationOptions(group: 64, grid: .hessian, actOrder: true, staticGroups: true)
        let before = Threads.count
        defer { Threads.count = before }
        let results = try [1, 2, 3].map { threads in
            Threads.count = threads
            let factor = try layer.factor(options)
            return (factor.r.elements(), try gptq(weights: layer.weights, factor: factor, options: options))
        }
        for (r, tile) in results.dropFirst() {
            #expect(r == results[0].0)
            #expect(tile.codes.elements() == results[0].1.codes.elements())
            #expect(tile.loss == results[0].1.loss)
        }
    }

    /// Scales that a type cannot hold are the nearest that it can, and counted.
    @Test func clampedScalesAreCounted() throws {
        let layer = Layer(rows: 6, columns: 128)
        // The large ones last, as their errors make later scales large as well.
        for (row, columns, factor) in [(1, 0..<64, Float(1e-6)), (4, 64..<128, 1e7)] { for column in columns { layer.weights[row, column] *= factor } }
        for (type, expected) in [(ScaleType.f16, 2), (.bf16, 0), (.f32, 0)] {
            for (grid, signed) in Grid.allCases.flatMap({ [($0, false), ($0, true)] }) {
                let options = QuantizationOptions(group: 64, signedScales: signed, grid: grid, scaleType: type)
                let tile = try gptq(weights: layer.weights, factor: layer.factor(options), options: options)
                #expect(tile.clampedScales == expected)
                #expect(tile.scales.elements().allSatisfy { (type.normalRange.least...type.normalRange.most).contains($0.magnitude) })
            }
            #expect(try roundToNearest(weights: layer.weights, options: QuantizationOptions(group: 64, scaleType: type)).clampedScales == expected)
        }
    }

    private static let strange = {
        let layer = Layer(rows: 6, columns: 160)
        layer.weights.row(0).update(repeating: 0, count: 160)
        layer.weights.row(1).update(repeating: 0, count: 100)
        layer.weights.row(2).update(repeating: 1e-38, count: 160)
        layer.weights.row(3).update(repeating: -3e5, count: 160)
        layer.weights.row(4).update(repeating: 1e-7, count: 160)
        layer.weights[4, 30] = 1
        layer.weights.row(5).update(repeating: 1e30, count: 160)
        return layer
    }()

    @Test(arguments: combinations)
    func strangeWeightsGiveFiniteNumbers(_ options: QuantizationOptions) throws {
        let layer = Self.strange
        let tile = try gptq(weights: layer.weights, factor: layer.factor(options), options: options)
        #expect(tile.scales.elements().allSatisfy { $0.isNormal && ($0 > 0 || options.signedScales) })
        #expect(tile.loss.allSatisfy { $0.isFinite })
        let decoded = Matrix<Float>(uninitialized: 6, 160)
        tile.dequantize(into: decoded)
        #expect(decoded.elements().allSatisfy { $0.isFinite })
        #expect(decoded.rows(0..<1).elements().allSatisfy { $0 == 0 })
    }

    @Test func emptyTilesAreEmpty() throws {
        let layer = Layer(rows: 1, columns: 64)
        let factor = try layer.factor(QuantizationOptions())
        let tile = try gptq(weights: layer.weights.rows(0..<0), factor: factor, options: QuantizationOptions())
        #expect(tile.codes.rows == 0 && tile.loss.isEmpty)
    }
}

extension Layer {
    func factor(_ options: QuantizationOptions, isNarrowed: Bool = false) throws -> Factor {
        let factor = try Compression.factor(hessian: hessian, dampingFraction: 0.01, actOrder: options.actOrder)
        return isNarrowed ? Factor(outline: factor.outline, r: factor.r, isNarrowed: true) : factor
    }
}
