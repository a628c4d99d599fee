// What comes panel by panel: a Hessian's way to the panels of the matrix, and R's way to the column loop.

import LinearAlgebra
import Testing

import Compression

@Suite struct PanelTests {
    /// Parts of a Hessian of 600 columns: all at once, and cut in several ways.
    private static let cuts = [[0, 600], [0, 512, 600], [0, 1, 255, 257, 600], [0, 300, 400, 600]]

    /// However the Hessian is cut, and whichever rows go together, its parts fill the panels of the matrix, each element once.
    @Test(arguments: [(false, nil), (true, nil), (true, 128)] as [(Bool, Int?)], cuts)
    func partsFillThePanels(order: (Bool, Int?), cuts: [Int]) throws {
        let size = 600
        let layer = Layer(rows: 1, columns: size, dead: [17, 511])
        let plan = try FactorPlan(
            diagonal: (0..<size).map { layer.hessian[$0, $0] }, dampingFraction: 0.01, actOrder: order.0, wholeGroups: order.1)
        for range in choleskyPanels(order: size) {
            let expected = Matrix<Double>(repeating: -1, size - range.lowerBound, range.count)
            plan.copy(range, of: layer.hessian, into: expected)
            let found = Matrix<Double>(repeating: -1, size - range.lowerBound, range.count)
            var count = 0
            for (start, end) in zip(cuts, cuts.dropFirst()) {
                let part = PanelPart(plan, panel: range, hessianColumns: start..<end)
                let middle = (start + end) / 2
                let sums = [start..<middle, middle..<end].map { columns in
                    GramSum.Panel(rows: 0..<columns.upperBound, columns: columns, values: layer.hessian.rows(0..<columns.upperBound).columns(columns))
                }
                let panelRows = part.starts.count - 1
                let ends = [0, 7, range.count + 3, panelRows].map { min($0, panelRows) }
                for rows in zip(ends, ends.dropFirst()).map({ $0..<$1 }) {
                    let first = part.starts[rows.lowerBound]
                    var values = [Double](repeating: 0.5, count: part.starts[rows.upperBound] - first)
                    values.withUnsafeMutableBufferPointer { values in
                        guard let base = values.baseAddress else { return }
                        part.take(rows, from: sums, into: base)
                        // Twice, and half of it: the same numbers.
                        part.take(rows, from: sums, into: base, adding: true)
                        for index in values.indices { values[index] /= 2 }
                        part.put(rows, base, into: found)
                    }
                }
                count += part.count
            }
            #expect(count == range.count * (range.count + 1) / 2 + (size - range.upperBound) * range.count)
            #expect(found.elements() == expected.elements())
        }
    }

    private static let options = [
        QuantizationOptions(group: 128, grid: .solved, actOrder: true, wholeGroups: true),
        QuantizationOptions(group: 32, symmetric: false, grid: .minmax),
        QuantizationOptions(group: 64, grid: .hessian, actOrder: true, staticGroups: true),
        QuantizationOptions(group: -1, grid: .mse), QuantizationOptions(group: 600, grid: .solved),
    ]

    /// Panels that are copies, as they come from other ranks, give the bits of windows on the whole.
    @Test(arguments: options, [false, true])
    func tilesTakePanels(options: QuantizationOptions, isNarrowed: Bool) throws {
        let layer = Layer(rows: 40, columns: 1100, dead: [3])
        let factor = try layer.factor(options, isNarrowed: isNarrowed)
        let whole = try gptq(weights: layer.weights, factor: factor, options: options)
        let tile = try GPTQTile(weights: layer.weights, factor: factor.outline, options: options, measuringEnergy: true)
        try expectSame(whole, tile, factor, isNarrowed: isNarrowed)
        var rounding = options
        rounding.grid = .mse
        let rounded = try roundToNearest(weights: layer.weights, options: rounding, factor: factor)
        try expectSame(rounded, RoundedTile(weights: layer.weights, factor: factor.outline, options: rounding), factor, isNarrowed: isNarrowed)
    }

    /// Where R is narrowed energies are sums over products in bf16.
    @Test func energiesInBFloat16AreNear() throws {
        let layer = Layer(rows: 40, columns: 1100)
        let options = QuantizationOptions(group: 128, grid: .minmax, actOrder: true, wholeGroups: true)
        let exact = try gptq(weights: layer.weights, factor: layer.factor(options), options: options)
        let near = try gptq(weights: layer.weights, factor: layer.factor(options, isNarrowed: true), options: options)
        #expect(near.energy != exact.energy && near.energy.count == 32)
        for (found, expected) in zip(near.energy, exact.energy) { #expect(abs(found - expected) < 1e-3 * expected) }
    }

    private func expectSame(_ whole: QuantizedTile, _ tile: some TileInProgress, _ factor: Factor, isNarrowed: Bool) throws {
        for start in stride(from: 0, to: factor.columns, by: tile.panelColumns) {
            let columns = start..<min(start + tile.panelColumns, factor.columns)
            tile.take(FactorPanel(columns: columns, values: factor.panel(columns).values.copy(), isNarrowed: isNarrowed, of: factor.columns))
        }
        let found = tile.finish()
        #expect(found.codes.elements() == whole.codes.elements())
        #expect(found.scales.elements() == whole.scales.elements() && found.zeros.elements() == whole.zeros.elements())
        #expect(found.loss == whole.loss && found.energy == whole.energy && found.groupOfColumn == whole.groupOfColumn)
        #expect(found.loss.count == 40 && found.loss.contains { $0 > 0 })
    }
}
