// OBQ against its definition in doubles, and beside GPTQ on a slice of a real layer.

import Compression
import LinearAlgebra
import Testing

@Suite struct OBQTests {
    static let options: [QuantizationOptions] = [
        QuantizationOptions(bits: 4, group: 64, signedScales: true, grid: .hessian, staticGroups: true),
        QuantizationOptions(bits: 3, group: -1, grid: .mse),
        QuantizationOptions(bits: 2, group: 32, symmetric: false, grid: .minmax, staticGroups: true, scaleType: .f16),
    ]

    private static func solve(_ weights: Matrix<Float>, _ hessian: Matrix<Double>, _ options: QuantizationOptions) throws -> QuantizedTile {
        let factor = try factor(hessian: hessian, dampingFraction: 0.01, actOrder: false)
        return try obq(weights: weights, factor: factor, inverse: InverseHessian(factor), options: options)
    }

    /// The first columns of a slice of a trained model's layer: the same codes wherever no two scores were next to equal, and the loss of the same Hessian.
    @Test(arguments: options)
    func codesAndLossAreThoseOfTheDefinition(_ options: QuantizationOptions) throws {
        let (fixture, columns) = (PruningFixture.shared, 96)
        let rows = fixture.weights.rows
        let weights = fixture.weights.columns(0..<columns).copy(), hessian = fixture.hessian.rows(0..<columns).columns(0..<columns).copy()
        let tile = try Self.solve(weights, hessian, options)
        let whole = damped(hessian, fraction: 0.01)
        var decided = 0
        var (loss, expected) = (0.0, 0.0)
        for row in 0..<rows {
            var reference = OBSReference((0..<columns).map { Double(weights[row, $0]) }, hessian: whole)
            func group(_ column: Int) -> Int { options.group == -1 ? 0 : column / options.group }
            func scale(_ column: Int) -> Double { Double(tile.scales[row, group(column)]) }
            func zero(_ column: Int) -> Double { Double(tile.zeros[row, group(column)]) }
            func value(_ column: Int, _ weight: Double) -> Double {
                let code: Double = (weight / scale(column)).rounded(.toNearestOrEven) + zero(column)
                return scale(column) * (min(max(code, 0), Double(options.maxCode)) - zero(column))
            }
            while reference.step(
                first: { column, weight in
                    let error = (weight - value(column, weight)).magnitude
                    return error > scale(column).magnitude / 2 * (1 + 1e-12) ? error : nil
                }, value: value) != nil
            {}
            expected += reference.loss
            loss += tile.loss[row]
            guard reference.closest > 1e-5 else { continue }
            decided += 1
            let bound: Double = reference.loss
            #expect(abs(tile.loss[row] - bound) <= 1e-4 * bound, "row \(row)")
            for column in 0..<columns {
                let value: Double = reference.values[column] ?? .nan
                let code: Double = value / scale(column) + zero(column)
                #expect(abs(Double(tile.codes[row, column]) - code) < 1e-3, "row \(row), column \(column)")
            }
        }
        #expect(decided >= rows * 9 / 10, "\(decided) of \(rows) rows")
        #expect(abs(loss - expected) <= 1e-3 * expected, "\(loss / expected)")
    }

    /// On a slice of a trained model's layer and the same grids, found in the original weights: much less loss than rounding to nearest leaves, and less
    /// than GPTQ in the order of columns.
    @Test(arguments: [2, 3, 4], [64, -1])
    func lessLossThanOneOrderOnTheSameGrids(bits: Int, group: Int) throws {
        let fixture = PruningFixture.shared
        let options = QuantizationOptions(bits: bits, group: group, signedScales: true, grid: .hessian, staticGroups: group > 0)
        let found = try Self.solve(fixture.weights, fixture.hessian, options)
        let factor = try factor(hessian: fixture.hessian, dampingFraction: 0.01, actOrder: false)
        let rounded = try roundToNearest(weights: fixture.weights, options: options, factor: factor)
        #expect(found.scales.elements() == rounded.scales.elements())
        let ofOneOrder = try gptq(weights: fixture.weights, factor: factor, options: options)
        let losses = [found, rounded, ofOneOrder].map { $0.loss.reduce(0, +) }
        #expect(losses[0] < 0.5 * losses[1] && losses[0] < losses[2], "\(losses)")
    }

    /// The same bits for any tiles and any number of threads, and a dead column rounded to nearest.
    @Test func rowsAreIndependentOfEachOther() throws {
        let layer = Layer(rows: 40, columns: 160, dead: [5, 100])
        let options = QuantizationOptions(bits: 3, group: 32, symmetric: false, grid: .hessian, staticGroups: true)
        let whole = try Self.solve(layer.weights, layer.hessian, options)
        let before = Threads.count
        defer { Threads.count = before }
        Threads.count = 3
        for rows in [0..<40, 0..<32, 32..<40] {
            let tile = try Self.solve(layer.weights.rows(rows), layer.hessian, options)
            #expect(tile.codes.elements() == whole.codes.rows(rows).copy().elements() && tile.loss == Array(whole.loss[rows]))
        }
        for row in 0..<40 {
            for column in [5, 100] {
                let (scale, zero) = (whole.scales[row, column / 32], Float(whole.zeros[row, column / 32]))
                let nearest: Float = (layer.weights[row, column] / scale).rounded(.toNearestOrEven) + zero
                #expect(Float(whole.codes[row, column]) == min(max(nearest, 0), 7))
            }
        }
        #expect(whole.energy.count == 32 && whole.groupOfColumn == nil)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let layer = Layer(rows: 4, columns: 64)
        func error(_ options: QuantizationOptions) -> CompressionError? {
            #expect(throws: CompressionError.self) { try Self.solve(layer.weights, layer.hessian, options) }
        }
        #expect(error(QuantizationOptions(group: 32))?.description.contains("no act-order, and static groups") == true)
        #expect(error(QuantizationOptions(group: 32, actOrder: true, staticGroups: true))?.description.contains("no act-order") == true)
        layer.weights[2, 3] = .nan
        #expect(error(QuantizationOptions(group: -1)) == .weightsNotFinite(row: 2, column: 3))
    }
}
