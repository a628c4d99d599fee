// What becomes of the weights of columns that never saw any input: nothing that other texts would miss.

import Compression
import LinearAlgebra
import Testing

@Suite struct DeadColumnTests {
    /// A column that never saw any input keeps its weights, each rounded to its group's grid, whatever grid and order.
    @Test(arguments: GPTQTests.combinations)
    func deadColumnsAreRoundedToNearest(_ options: QuantizationOptions) throws {
        let dead = [0, 41, 42, 89, 199]
        let layer = Layer(rows: 6, columns: 200, dead: dead)
        let factor = try layer.factor(options)
        #expect(factor.deadColumns == dead)
        let tile = try gptq(weights: layer.weights, factor: factor, options: options)
        for row in 0..<6 {
            for column in dead {
                let group = tile.groupOfColumn.map { Int($0[column]) } ?? (options.group == -1 ? 0 : column / options.group)
                let (scale, zero) = (tile.scales[row, group], Float(tile.zeros[row, group]))
                let nearest = min(max((layer.weights[row, column] / scale).rounded(.toNearestOrEven) + zero, 0), Float(options.maxCode))
                #expect(Float(tile.codes[row, column]) == nearest)
            }
        }
        let decoded = Matrix<Float>(uninitialized: 6, 200)
        tile.dequantize(into: decoded)
        for (loss, expected) in zip(tile.loss, layer.loss(decoded, damping: factor.damping)) { #expect(abs(loss - expected) <= 1e-4 * expected) }
        // Rounding is measured alike; it has no errors by which ranges could be searched.
        guard options.grid != .solved else { return }
        #expect(try roundToNearest(weights: layer.weights, options: options, factor: factor).energy == tile.energy)
    }

    /// Grids have to serve dead columns as well: those of large weights are not cut off for the sake of the others.
    @Test(arguments: Grid.allCases, [false, true])
    func gridsReachTheWeightsOfDeadColumns(grid: Grid, actOrder: Bool) throws {
        let dead = Array(stride(from: 0, to: 64, by: 2))
        let layer = Layer(rows: 8, columns: 64, dead: dead)
        for row in 0..<8 { for column in dead { layer.weights[row, column] *= 4 } }
        let options = QuantizationOptions(bits: 4, group: 32, grid: grid, actOrder: actOrder, wholeGroups: actOrder, scaleType: .f32)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: actOrder, wholeGroups: options.widthOfWholeGroups)
        let decoded = Matrix<Float>(uninitialized: 8, 64)
        try gptq(weights: layer.weights, factor: factor, options: options).dequantize(into: decoded)
        var (error, energy): (Float, Float) = (0, 0)
        for row in 0..<8 {
            for column in dead {
                let difference = layer.weights[row, column] - decoded[row, column]
                (error, energy) = (error + difference * difference, energy + layer.weights[row, column] * layer.weights[row, column])
            }
        }
        #expect(error < 0.02 * energy, "\(error / energy)")
    }

    /// Of columns that never saw any input the small weights are pruned, about as many as of others, and the large ones stay what they are.
    @Test(
        arguments: [("sparsegpt", PruningOptions.Scope.blocks(of: 64)), ("admm", .layer), ("exactobs", .layer), ("wanda", .rows), ("magnitude", .layer)],
        [Sparsity.share(0.5), .pattern(pruned: 2, of: 4)])
    func weightsOfDeadColumnsAreRankedByTheirMagnitude(method: (name: String, scope: PruningOptions.Scope), sparsity: Sparsity) throws {
        // Whole patterns of dead columns, and single ones.
        let dead = Array(0..<8) + Array(stride(from: 64, to: 320, by: 5))
        let layer = Layer(rows: 70, columns: 320, dead: dead)
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let pruning = PruningOptions(sparsity: sparsity, scope: method.scope)
        let penalised = try Compression.factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false, penalty: ADMM.penalty)
        let weights = try beginPruning(method.name, layer.weights, factor, penalised: penalised, pruning, .values(.f32)).solve().tile.weights(70, 320)
        // ADMM solves for them, like for others.
        let tolerance: Float = method.name == "admm" ? 1e-5 : 0
        var (kept, pruned): ([Float], [Float]) = ([], [])
        for row in 0..<70 {
            for column in dead {
                let (old, new) = (layer.weights[row, column], weights[row * 320 + column])
                #expect(new == 0 || abs(new - old) <= tolerance * abs(old))
                if new == 0 { pruned.append(abs(old)) } else { kept.append(abs(old)) }
            }
        }
        let share = Double(pruned.count) / Double(kept.count + pruned.count)
        #expect(share > 0.25 && share < 0.75, "\(share)")
        let means: [Float] = [pruned, kept].map { $0.reduce(0, +) / Float($0.count) }
        #expect(means[0] < 0.7 * means[1])
    }

    /// Codes of pruned tiles: kept weights of dead columns are rounded to nearest.
    @Test func keptWeightsOfDeadColumnsAreRounded() throws {
        let layer = Layer(rows: 70, columns: 320, dead: [5, 200])
        let factor = try factor(hessian: layer.hessian, dampingFraction: 0.01, actOrder: false)
        let pruning = PruningOptions(sparsity: .share(0.2), scope: .blocks(of: 64))
        let content = TileContent.codes(QuantizationOptions(bits: 4, group: 64, symmetric: false, grid: .solved))
        let solved = try SparseGPTTile(weights: layer.weights, factor: factor, pruning: pruning, content: content).solve().tile
        guard case .codes(let tile) = solved else { Issue.record("no codes"); return }
        for row in 0..<70 {
            for column in [5, 200] {
                let (scale, zero, code) = (tile.scales[row, column / 64], Float(tile.zeros[row, column / 64]), Float(tile.codes[row, column]))
                let nearest = min(max((layer.weights[row, column] / scale).rounded(.toNearestOrEven) + zero, 0), 15)
                #expect(code == nearest || code == zero)
            }
        }
        #expect((0..<70).count { tile.codes[$0, 5] != tile.zeros[$0, 0] } > 40)
    }
}
