// The tiles of a stage: each solved by its owner, or read when it is committed, then gathered by all ranks.

package import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
package import MessagePassing
package import Models
internal import Packing
internal import Recipes
package import Reporting
package import Sharding
package import Transformers

/// Solves the tiles of stages over the ranks of a world.
package struct StageSolver {
    let model: Model
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock

    package init(model: Model, nodes: NodeGroups, assignment: Assignment, clock: PhaseClock) {
        (self.model, self.nodes, self.assignment, self.clock) = (model, nodes, assignment, clock)
    }

    var world: Communicator { nodes.world }

    /// Has the system read what this rank needs of a stage's weights, while its Hessian is summed.
    package func readAhead(_ stage: StagePlan, isMissing: (Int) -> Bool, pieces: [Piece], isDense: Bool) {
        let owners = assignment.owners(of: stage.tiles)
        model.readAhead(stage, tiles: owners.indices.filter { owners[$0] == world.rank && isMissing($0) }, pieces: pieces, isDense: isDense)
    }

    /// Solves the tiles that are not committed and gives every rank those that it needs.
    ///
    /// - Parameters:
    ///   - factors: by settings, for the treatments that need them.
    ///   - inputMagnitude: the largest |x| over all batches of all ranks; 0 where nothing was summed.
    ///   - mismatches: for treatments with `target: dense`.
    ///   - tilesAtOnce: tiles that take a factor's panels together where R lies over the ranks; nil: all of this rank.
    ///   - committed: tiles of earlier attempts.
    ///   - needed: tiles that this rank is to have, whoever solves them.
    package func solve(
        _ stage: StagePlan, block: Int, index: Int, factors: [FactorSettings: FactorOutcome], inputMagnitude: Float = 0,
        mismatches: StageMismatches = [:], tilesAtOnce: Int?, committed: CommittedTiles, needed: Set<Int>
    ) throws -> SolvedStage {
        let owners = assignment.owners(of: stage.tiles)
        let message = StageTiles(stage, owners: owners, world: world)
        let isMissing = stage.tiles.indices.map { !committed.contains(TileKey(block: block, stage: index, tile: $0)) }
        let magnitudes = isMissing.contains(true) ? try tensorMagnitudes(stage, owners: owners) : []
        let thresholds = isMissing.contains(true) ? try outlierThresholds(stage, owners: owners, factors: factors) : []
        let tileSolver = TileSolver(
            model: model, stage: stage, factors: factors, tensorMagnitudes: magnitudes, outlierThresholds: thresholds, inputMagnitude: inputMagnitude)
        let targets = DenseTargets(model: model, nodes: nodes, assignment: assignment, clock: clock, stage: stage, mismatches: mismatches)
        let byPanels = stage.tiles.indices.map { isMissing[$0] ? tileSolver.panelwiseFactor($0) : nil }

        let linears = stage.linears.indices.map { linear in LinearState(stage, linear) { !isMissing[$0] } }
        let missing = owners.indices.filter { owners[$0] == world.rank && isMissing[$0] }
        // Where thresholds are still to be found, all ranks find them together.
        let comparing = missing.filter { linears[stage.tiles[$0].linear].needsThresholds }
        let compared = try SharedMasks(world: world, clock: clock, stage: stage, linears: linears.indices.filter { linears[$0].needsThresholds })
            .solve(comparing, begin: tileSolver.begin) { try tileSolver.encode($0, $1, thresholds: $2) }
        for (tile, encoded) in compared { message.put(tile, encoded) }

        let alone = owners.indices.filter { owners[$0] == world.rank && byPanels[$0] == nil && compared[$0] == nil }
        let shifted = tileSolver.beginning(with: try targets.weights(of: alone.filter { isMissing[$0] }))
        try world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                _ = try parallelMap(alone.count, alone: stage.aloneTiles(alone.count)) { position in
                    let tile = alone[position]
                    func read(_ tile: Int) throws -> EncodedTile { try committed.read(TileKey(block: block, stage: index, tile: tile)) }
                    guard isMissing[tile] else { return message.put(tile, try read(tile)) }
                    let thresholds = try linears[stage.tiles[tile].linear].committedTile.map { try read($0).thresholds }
                    message.put(tile, try shifted.solve(tile, thresholds: thresholds))
                }
            }
        }
        for run in PanelRun.runs(byPanels) { try solve(stage, run, owners, tileSolver, targets, tilesAtOnce: tilesAtOnce, into: message) }

        for tile in missing { clock.count(.solve, operations: stage.solveOperations(of: stage.tiles[tile])) }
        return try clock.measure(.gather) { () throws in try message.gather(nodes, solvedHere: missing, needed: needed) }
    }

    /// Solves tiles whose factor lies over the ranks: some of each rank's tiles at a time, which take the panels of R together.
    private func solve(
        _ stage: StagePlan, _ run: PanelRun, _ owners: [Int], _ tileSolver: TileSolver, _ targets: DenseTargets, tilesAtOnce: Int?, into message: StageTiles
    )
        throws
    {
        let counts = (0..<world.size).map { rank in run.tiles.count { owners[$0] == rank } }
        let atOnce = max(tilesAtOnce ?? .max, 1)
        let own = run.tiles.filter { owners[$0] == world.rank }
        let panels = FactorPanels(nodes: nodes, assignment: assignment, clock: clock)
        let size = run.factor.outline.columns
        for start in stride(from: 0, to: counts.max() ?? 0, by: min(atOnce, max(counts.max() ?? 1, 1))) {
            let wave = Array(own.dropFirst(start).prefix(atOnce))
            let shifted = tileSolver.beginning(with: try targets.weights(of: wave))
            let tiles = try world.together(exitCode: exitCode) {
                try clock.measure(.solve) { () throws in try parallelMap(wave.count) { try shifted.begin(wave[$0], run.factor) } }
            }
            for first in stride(from: 0, to: size, by: run.width) {
                let panel = try panels.columns(first..<min(first + run.width, size), of: run.factor)
                clock.measure(.solve) { _ = parallelMap(tiles.count, alone: stage.aloneTiles(tiles.count)) { tiles[$0].take(panel) } }
            }
            clock.measure(.solve) { parallelFor(tiles.count) { message.put(wave[$0], tileSolver.encode(wave[$0], tiles[$0].finish())) } }
        }
    }
}

extension StagePlan {
    /// Of so many tiles of this rank, those that have all threads, each in turn.
    fileprivate func aloneTiles(_ count: Int) -> Int {
        // Threads share the rows of each tile.
        if linears.allSatisfy({ $0.treatment.map { $0.method == .obq } ?? true }) { return count }
        guard linears.contains(where: { [.gptq, .spqr].contains($0.treatment?.method) }) else { return 0 }
        return ColumnLoop.alone(tiles: count, rows: tileRows, columns: columns, threads: Threads.count)
    }
}

/// Tiles that take the same panels of R.
private struct PanelRun {
    var settings: FactorSettings
    var width: Int
    var factor: StageFactor
    var tiles: [Int]

    /// - Parameter factors: of each tile; nil where it needs no panels.
    static func runs(_ factors: [TileSolver.PanelwiseFactor?]) -> [PanelRun] {
        factors.enumerated().reduce(into: []) { runs, tile in
            guard let found = tile.element else { return }
            if let index = runs.firstIndex(where: { $0.settings == found.settings && $0.width == found.width }) {
                runs[index].tiles.append(tile.offset)
            } else {
                runs.append(PanelRun(settings: found.settings, width: found.width, factor: found.factor, tiles: [tile.offset]))
            }
        }
    }
}

/// What is known of a linear's tiles before a stage is solved, the same on every rank.
private struct LinearState {
    /// Any committed tile: it holds the thresholds with which the others were, or will be, solved.
    let committedTile: Int?
    /// Whether masks that go through all rows are still to be found.
    let needsThresholds: Bool

    init(_ stage: StagePlan, _ linear: Int, isCommitted: (Int) -> Bool) {
        let comparisons = stage.linears[linear].pruning?.comparisons(columns: stage.columns) ?? []
        committedTile = comparisons.isEmpty ? nil : stage.tiles.indices.first { stage.tiles[$0].linear == linear && isCommitted($0) }
        needsThresholds = !comparisons.isEmpty && committedTile == nil
    }
}
