// SpQR against the float64 reference, its kernels against plain loops, and what half precision makes of a tile.

import CKernels
import Compression
import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct SpQRTests {
    /// What Tests/Compatibility/spqr_reference.py computed in float64.
    struct Case: Sendable {
        let options: QuantizationOptions
        let share: Double
        let codes: [UInt8]
        /// Codes of scales, then of zero points: [rows, groups] each.
        let levels: [UInt8]
        /// Steps and zero points of scales, then those of zero points, in half precision: [blocks, groups] each.
        let seconds: [UInt16]
        let outliers: [UInt16]
        let values: [UInt16]
        let loss: [Double]
    }

    private struct Settings: Decodable {
        let bits: Int
        let group: Int
        let threshold: Double
        let actOrder: Bool
        let wholeGroups: Bool
    }

    private static let fixture: (weights: Matrix<Float>, hessian: Matrix<Double>, cases: [Case]) = {
        do {
            var file = try ReferenceFile<Settings>("spqr")
            let (rows, columns) = (file.weights.rows, file.weights.columns), blocks = SpQRScales.blocks(rows: rows)
            let cases = file.cases.map { settings in
                let options = QuantizationOptions(
                    spqr: settings.bits, group: settings.group, actOrder: settings.actOrder, wholeGroups: settings.wholeGroups)
                let groups = options.groupCount(columns: columns)
                return Case(
                    options: options, share: settings.threshold, codes: file.next(rows * columns), levels: file.next(2 * rows * groups),
                    seconds: file.next(4 * blocks * groups), outliers: file.next(rows * columns), values: file.next(rows * columns), loss: file.next(rows))
            }
            return (file.weights, file.hessian, cases)
        } catch { fatalError("the fixtures cannot be read: \(error)") }
    }()

    private static func factor(_ options: QuantizationOptions) throws -> Factor {
        try Compression.factor(
            hessian: fixture.hessian, dampingFraction: 0.1, actOrder: options.actOrder, wholeGroups: options.widthOfWholeGroups)
    }

    private static func sums(_ weights: Matrix<Float>) -> Matrix<Double> {
        let result = Matrix<Double>(repeating: 0, 2, weights.columns)
        for row in 0..<weights.rows {
            for column in 0..<weights.columns {
                result[0, column] += Double(weights[row, column])
                result[1, column] += Double(weights[row, column]) * Double(weights[row, column])
            }
        }
        return result
    }

    private static func solve(_ weights: Matrix<Float>, _ factor: Factor, _ options: QuantizationOptions, threshold: Double) throws -> QuantizedTile {
        try SpQRTile(weights: weights, factor: factor.outline, options: options, threshold: threshold, measuringEnergy: true).solve(factor)
    }

    private func halves(_ numbers: Matrix<Float>) -> [UInt16] {
        var result = [UInt16](repeating: 0, count: numbers.count)
        Numbers.narrow(numbers.base, intoFloat16: &result, count: numbers.count)
        return result
    }

    @Test func tilesAreTheReferences() throws {
        let (weights, _, cases) = Self.fixture
        #expect(cases.count == 7)
        for expected in cases {
            let options = expected.options, factor = try Self.factor(options)
            let threshold = SpQR.threshold(expected.share, sums: Self.sums(weights), rows: weights.rows, factor: factor.outline)
            let tile = try Self.solve(weights, factor, options, threshold: threshold), spqr = try #require(tile.spqr)
            let name = "\(options.bits) bits, group \(options.group), share \(expected.share), act-order \(options.actOrder) \(options.wholeGroups)"
            #expect(tile.codes.elements() == expected.codes, "\(name)")
            #expect(spqr.scaleCodes.elements() + spqr.zeroCodes.elements() == expected.levels, "\(name)")
            #expect([spqr.scaleSteps, spqr.scaleZeros, spqr.zeroSteps, spqr.zeroZeros].flatMap(halves) == expected.seconds, "\(name)")
            #expect(spqr.outliers.elements() == expected.outliers, "\(name)")
            let values = Matrix<Float>(uninitialized: weights.rows, weights.columns)
            tile.dequantize(into: values)
            #expect(halves(values) == expected.values, "\(name)")
            for (loss, reference) in zip(tile.loss, expected.loss) { #expect(abs(loss - reference) <= 1e-4 * reference, "\(name)") }
            let count = spqr.outliers.elements().count { $0 & 0x7fff != 0 }
            #expect(expected.share > 1000 ? count == 0 : count > weights.count / 100, "\(name): \(count)")
        }
    }

    /// A tile may be cut between blocks of 16 rows, since only these share anything: codes are the same, and outliers but for the last bits of products of another shape.
    @Test func blocksOfRowsAloneAreTheSame() throws {
        let weights = Self.fixture.weights, options = QuantizationOptions(spqr: 3, group: 16, actOrder: true, wholeGroups: true)
        let factor = try Self.factor(options), whole = try Self.solve(weights, factor, options, threshold: 5), all = try #require(whole.spqr)
        for rows in [0..<16, 16..<32, 16..<40, 32..<40] {
            let tile = try Self.solve(weights.rows(rows), factor, options, threshold: 5), own = try #require(tile.spqr)
            #expect(tile.codes.elements() == whole.codes.rows(rows).elements())
            #expect(own.scaleCodes.elements() == all.scaleCodes.rows(rows).elements())
            for (outlier, expected) in zip(own.outliers.elements(), all.outliers.rows(rows).elements()) {
                #expect((outlier == 0) == (expected == 0) && abs(Int(outlier) - Int(expected)) <= 8)
            }
            let zeros = all.zeroZeros.rows(rows.lowerBound / 16..<(rows.upperBound + 15) / 16).elements()
            for (zero, expected) in zip(own.zeroZeros.elements(), zeros) { #expect(abs(zero - expected) <= 0.002 * max(abs(expected), 1)) }
        }
    }

    /// Panel by panel, as ranks hand R around, with columns wider than a panel.
    @Test func panelsAreTheWholeFactor() throws {
        let layer = Layer(rows: 32, columns: 1088, dead: [40]), options = QuantizationOptions(spqr: 3, group: 16, actOrder: true, wholeGroups: true)
        let factor = try Compression.factor(hessian: layer.hessian, dampingFraction: 0.1, actOrder: true, wholeGroups: 16)
        let threshold = SpQR.threshold(0.2, sums: Self.sums(layer.weights), rows: 32, factor: factor.outline)
        let tile = try Self.solve(layer.weights, factor, options, threshold: threshold)
        let values = Matrix<Float>(uninitialized: 32, 1088)
        tile.dequantize(into: values)
        // What was measured column by column is what the Hessian itself says of the decoded weights.
        for (loss, expected) in zip(tile.loss, layer.loss(values, damping: factor.damping)) { #expect(abs(loss - expected) <= 1e-4 * expected) }
    }

    /// Without a Hessian each weight has the nearest code of its group's grid, and none is an outlier.
    @Test func withoutAHessianWeightsAreRounded() throws {
        let weights = Self.fixture.weights, options = QuantizationOptions(spqr: 3, group: 16, actOrder: true)
        let tile = try SpQRTile.rounded(weights: weights, options: options), spqr = try #require(tile.spqr)
        #expect(spqr.outliers.elements().allSatisfy { $0 & 0x7fff == 0 } && tile.groupOfColumn == nil && tile.loss.isEmpty)
        let (scales, zeros) = (spqr.scales(), spqr.zeros())
        for row in 0..<weights.rows {
            for column in 0..<weights.columns {
                let (scale, zero) = (scales[row, column / 16], zeros[row, column / 16])
                let nearest = min(max((weights[row, column] / max(scale, 1e-9) + zero).rounded(.toNearestOrEven), 0), 7)
                #expect(tile.codes[row, column] == UInt8(nearest), "[\(row), \(column)]")
            }
        }
    }

    @Test func rowsOfZerosStayZeroTogether() throws {
        let options = QuantizationOptions(spqr: 3, group: 16), factor = try Self.factor(options)
        let tile = try Self.solve(Matrix(repeating: 0, 16, 192), factor, options, threshold: 1)
        let values = Matrix<Float>(repeating: 1, 16, 192)
        tile.dequantize(into: values)
        #expect(values.elements().allSatisfy { $0 == 0 })
    }

    /// The grid of a group against one that is fitted anew without each weight.
    @Test func gridsLeaveOutWhatIsWorthMoreAsOutlier() {
        var generator = SeededGenerator(seed: 4)
        let (columns, rows, most) = (16, 64, Float(7))
        let values = (0..<columns * rows).map { _ -> Float in
            let x = Float.random(in: -1...1, using: &generator)
            return x * x * x * (Int.random(in: 0..<12, using: &generator) == 0 ? 6 : 1)
        }
        let diagonal = (0..<columns).map { _ in Float.random(in: 0.5...2, using: &generator) }, threshold: Float = 0.3
        var (scales, zeros) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
        cleave_spqr_grid(values, columns, rows, diagonal, most, threshold, &scales, &zeros)
        func grid(_ x: [Float]) -> (scale: Float, zero: Float) {
            guard var low = x.min(), var high = x.max() else { return (0, 0) }
            let width = high - low
            if low > width { low = 0 }
            if -high > width { high = 0 }
            let scale = (high - low) / most
            return (scale, scale == 0 ? 0 : -low / scale)
        }
        func cost(_ x: [Float], _ weights: [Float]) -> Float {
            let (scale, zero) = grid(x)
            return zip(x, weights).reduce(0) { sum, value in
                let code = min(max((value.0 / max(scale, 1e-9) + zero).rounded(.toNearestOrEven), 0), most)
                let error = (value.0 - scale * (code - zero)) * value.1
                return sum + error * error
            }
        }
        var dropped = 0
        for row in 0..<rows {
            let own = (0..<columns).map { values[$0 * rows + row] }, all = cost(own, diagonal)
            let kept = (0..<columns).filter { left in
                let rest = (0..<columns).filter { $0 != left }
                return all - cost(rest.map { own[$0] }, rest.map { diagonal[$0] }) <= threshold
            }
            dropped += columns - kept.count
            let expected = grid(kept.map { own[$0] })
            #expect(scales[row] == expected.scale && zeros[row] == expected.zero, "row \(row): \(scales[row]) \(expected.scale)")
        }
        #expect(dropped > 10)
    }

    @Test func averageBitsAreThePapers() {
        #expect(SpQR.averageBits(bits: 3, group: 16, outlierShare: 0) == 3.625)
        #expect(SpQR.averageBits(bits: 4, group: 16, outlierShare: 0.01) == 4.625 + 0.32)
    }

    @Test func whatDoesNotGoTogetherIsRefused() throws {
        let options = QuantizationOptions(spqr: 3, group: 16), factor = try Self.factor(options)
        let changes: [(inout QuantizationOptions) -> Void] = [
            { $0.group = -1 }, { $0.bits = 5 }, { $0.symmetric = true }, { $0.grid = .solved }, { $0.staticGroups = true }, { $0.actOrder = true },
            { $0.number = .int }, { $0.group = 128 },
        ]
        for change in changes {
            var other = options
            change(&other)
            #expect(throws: CompressionError.self) { try Self.solve(Self.fixture.weights, factor, other, threshold: 1) }
        }
        let weights = Self.fixture.weights.copy()
        weights[3, 7] = 70000
        #expect(throws: CompressionError.weightTooLarge(row: 3, column: 7, value: 70000, most: 32768)) {
            try Self.solve(weights, factor, options, threshold: 1)
        }
    }
}
