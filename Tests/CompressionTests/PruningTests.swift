// What holds of SparseGPT, magnitude and Wanda whatever the numbers.

import Compression
import LinearAlgebra
import Testing

@Suite struct PruningTests {
    private static let layer = Layer(rows: 70, columns: 320, dead: [5, 200])
    private static let quantized = QuantizationOptions(bits: 4, group: 64, symmetric: false, grid: .solved)

    /// Method, sparsity and what is kept as.
    static let combinations: [(method: String, pruning: PruningOptions, content: TileContent)] = {
        let scopes: [(String, PruningOptions.Scope)] = [
            ("sparsegpt", .blocks(of: 128)), ("wanda", .rows), ("magnitude", .layer), ("magnitude", .blocks(of: 64)),
        ]
        return scopes.flatMap { method, scope in
            [Sparsity.share(0.5), .share(0.8), .pattern(pruned: 2, of: 4), .pattern(pruned: 3, of: 16)].flatMap { sparsity in
                [TileContent.values(.bf16), .codes(method == "sparsegpt" ? quantized : QuantizationOptions(bits: 4, group: 64, grid: .mse))].map {
                    (method, PruningOptions(sparsity: sparsity, scope: scope), $0)
                }
            }
        }
    }()

    /// A layer whose tiles are solved apart, with thresholds found by counting, is that of one tile. Products of other shapes may round otherwise, so
    /// thresholds and losses agree closely and not in every bit.
    @Test(arguments: combinations.indices)
    func tilesOfAnyHeightGiveTheSameWeights(index: Int) throws {
        let (method, pruning, content) = Self.combinations[index]
        let factor = try factor(hessian: Self.layer.hessian, dampingFraction: 0.01, actOrder: false)
        let whole = try beginPruning(method, Self.layer.weights, factor, pruning, content).solve()
        for height in [7, 32, 33] {
            let parts = stride(from: 0, to: 70, by: height).map { $0..<min($0 + height, 70) }
            let tiles = try parts.map { try beginPruning(method, Self.layer.weights.rows($0), factor, pruning, content) }
            var thresholds: [Float] = []
            for columns in tiles[0].comparisons {
                let scores = tiles.map { $0.scores(columns) }
                var selection = RankSelection(rank: pruning.thresholdRank(among: 70 * columns.count))
                while selection.result == nil {
                    var counts = [Int](repeating: 0, count: RankSelection.binCount)
                    // In any order.
                    for part in scores.reversed() { counts.withUnsafeMutableBufferPointer { selection.count(part, into: $0.baseAddress!) } }
                    selection.narrow(counts[...])
                }
                thresholds.append(try #require(selection.result))
                for tile in tiles { tile.prune(columns, threshold: thresholds.last ?? .nan) }
            }
            try #require(thresholds.count == whole.thresholds.count)
            for (found, expected) in zip(thresholds, whole.thresholds) { #expect(abs(found - expected) <= 1e-6 * expected) }
            for (part, tile) in zip(parts, tiles) {
                let found = try tile.finish(measuringEnergy: false)
                let expected = Array(whole.tile.weights(70, 320)[part.lowerBound * 320..<part.upperBound * 320])
                #expect(found.weights(part.count, 320) == expected)
                for (found, expected) in zip(found.loss, whole.tile.loss[part]) { #expect(abs(found - expected) <= 1e-6 * expected) }
                // A tile that was lost is solved again with the thresholds that are known.
                let again = try beginPruning(method, Self.layer.weights.rows(part), factor, pruning, content).solve(thresholds: thresholds)
                #expect(again.tile.weights(part.count, 320) == expected)
            }
        }
    }

    /// As many zeros as asked for, in each set of weights that is compared, and the loss of the new weights is what is said.
    @Test(arguments: combinations.indices)
    func zerosAreWhereTheyBelong(index: Int) throws {
        let (method, pruning, content) = Self.combinations[index]
        let layer = Layer(rows: 40, columns: 320)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let (tile, thresholds) = try beginPruning(method, layer.weights, factor, pruning, content).solve()
        let weights = Matrix(tile.weights(40, 320), 40, 320)
        func zeros(_ rows: Range<Int>, _ columns: Range<Int>) -> Int { weights.rows(rows).columns(columns).elements().count { $0 == 0 } }
        // Codes may round further weights to zero.
        let isExact = content == .values(.bf16)
        func expect(_ found: Int, _ wanted: Int) { #expect(isExact ? found == wanted : found >= wanted) }
        switch (pruning.sparsity, pruning.scope) {
        case (.pattern(let pruned, let of), _):
            for row in 0..<40 { for first in stride(from: 0, to: 320, by: of) { expect(zeros(row..<row + 1, first..<first + of), pruned) } }
        case (.share(let share), .rows): for row in 0..<40 { expect(zeros(row..<row + 1, 0..<320), Int(320 * share)) }
        case (.share(let share), _):
            let comparisons = pruning.comparisons(columns: 320)
            #expect(thresholds.count == comparisons.count)
            // The weight at the threshold is pruned, too.
            for columns in comparisons { expect(zeros(0..<40, columns), Int(Double(40 * columns.count) * share) + 1) }
        }
        for (loss, expected) in zip(tile.loss, layer.loss(weights, damping: factor.damping)) { #expect(abs(loss - expected) <= 1e-4 * expected) }
        let nothing = Matrix<Float>(repeating: 0, 40, 320)
        #expect(tile.energy.count == 32)
        for (energy, expected) in zip(tile.energy, layer.loss(nothing, damping: factor.damping)) { #expect(abs(energy - expected) <= 1e-4 * expected) }
    }

    @Test(arguments: [Sparsity.share(0.5), .pattern(pruned: 2, of: 4)])
    func knowingMoreCostsLess(sparsity: Sparsity) throws {
        let layer = Layer(rows: 64, columns: 256)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let scopes: [(String, PruningOptions.Scope)] = [("magnitude", .layer), ("wanda", .rows), ("sparsegpt", .blocks(of: 128))]
        let losses = try scopes.map { method, scope in
            try beginPruning(method, layer.weights, factor, PruningOptions(sparsity: sparsity, scope: scope), .values(.f32)).solve().tile.loss.reduce(0, +)
        }
        #expect(losses[1] < losses[0] && losses[2] < 0.6 * losses[1], "\(losses)")
    }

    /// Grids that only have to fit what is kept.
    @Test(arguments: [Sparsity.share(0.5), .pattern(pruned: 2, of: 4)])
    func betterGridsCostLess(sparsity: Sparsity) throws {
        let layer = Layer(rows: 64, columns: 256)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let losses = try [Grid.minmax, .solved].map { grid in
            let content = TileContent.codes(QuantizationOptions(bits: 3, group: 64, grid: grid))
            let pruning = PruningOptions(sparsity: sparsity, scope: .blocks(of: 128))
            return try SparseGPTTile(weights: layer.weights, factor: factor, pruning: pruning, content: content).solve().tile.loss.reduce(0, +)
        }
        #expect(losses[1] < 0.97 * losses[0], "\(losses)")
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let layer = Layer(rows: 4, columns: 60)
        let plain = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let ordered = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: true)
        func error(_ sparsity: Sparsity, _ scope: PruningOptions.Scope, _ content: TileContent, _ factor: Factor) -> CompressionError? {
            #expect(throws: CompressionError.self) {
                try SparseGPTTile(weights: layer.weights, factor: factor, pruning: PruningOptions(sparsity: sparsity, scope: scope), content: content)
            }
        }
        let block = PruningOptions.Scope.blocks(of: 128)
        #expect("\(try #require(error(.pattern(pruned: 4, of: 8), block, .values(.f32), plain)))".contains("does not fit 60 columns"))
        #expect("\(try #require(error(.share(0.5), .blocks(of: 48), .values(.f32), plain)))".contains("not for 48"))
        #expect("\(try #require(error(.share(0.5), block, .values(.f32), ordered)))".contains("act-order"))
        #expect("\(try #require(error(.share(0.5), block, .codes(QuantizationOptions(actOrder: true)), plain)))".contains("act-order"))
        #expect("\(try #require(error(.share(0.5), .blocks(of: 64), .codes(QuantizationOptions(group: 128)), plain)))".contains("whole groups of 128"))
        #expect("\(try #require(error(.pattern(pruned: 1, of: 3), block, .codes(QuantizationOptions(group: 32)), plain)))".contains("whole patterns of 3"))
        layer.weights[2, 3] = .infinity
        #expect(error(.share(0.5), block, .values(.f32), plain) == .weightsNotFinite(row: 2, column: 3))
    }

    /// Neighbours that hardly differ, one of them pruned: the other doubles, beyond what f16 can hold.
    @Test func valuesBeyondTheirTypeAreAnError() throws {
        let hessian = Matrix<Double>([1, 0.9999, 0.9999, 1], 2, 2)
        let factor = try factor(hessian: hessian, dampingFraction: 1e-6, actOrder: false)
        let tile = try SparseGPTTile(
            weights: Matrix([40000, 60000], 1, 2), factor: factor, pruning: PruningOptions(sparsity: .pattern(pruned: 1, of: 2), scope: .layer),
            content: .values(.f16))
        #expect(throws: CompressionError.valueOutOfRange(row: 0, column: 1, .f16)) { try tile.finish(measuringEnergy: false) }
    }
}
