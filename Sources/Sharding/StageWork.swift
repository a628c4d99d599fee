// How much work the stages of a plan are, in proportion to each other: by it a run says how much time is left.

internal import Recipes
internal import Transformers

extension Plan {
    /// Seconds of plain products for a second of other work's operations, about as on processors that were measured (`Benchmarks/profiles`).
    private static let (ofGram, ofFactor, ofSolving) = (1.2, 4.0, 2.7)
    /// Operations of plain products that take as long as reading, searching and encoding a weight.
    private static let ofWeight = 500.0

    /// The work of solving tiles of a stage: as multiplications and additions of plain products, of all ranks together.
    ///
    /// - Parameters:
    ///   - tiles: by their places in the stage; without any there is no work.
    ///   - tokens: of its Hessian; nil: as many as an expert has on average, and all of other stages.
    public func solvingWork(of stage: StagePlan, tiles: [Int], tokens: Double? = nil) -> Double {
        guard !tiles.isEmpty else { return 0 }
        let tokens = tokens ?? Double(calibrationTokens) * stage.stage.tokenShare, columns = Double(stage.columns)
        var work = 0.0
        if stage.needsHessian {
            work += Self.ofGram * tokens * columns * columns
            work += Self.ofFactor * (Double(stage.factorCount) * columns * columns * columns / 3 + stage.inverseOperations)
        }
        for tile in tiles.map({ stage.tiles[$0] }) {
            work += Self.ofSolving * stage.solveOperations(of: tile) + Self.ofWeight * Double(tile.rows.count) * columns
        }
        return work
    }

    /// The work of taking all batches through a stage.
    public func passingWork(of stage: StagePlan) -> Double {
        Double(calibrationSequences) * stage.stage.operations(lengths: [recipe.calibration?.length ?? 0])
    }

    /// The work of taking some tokens through a stage of an expert.
    public func passingWork(ofExpert stage: StagePlan, tokens: Double) -> Double { 2 * stage.weightCount * tokens }

    /// The work of finding the experts of all tokens of a block; 0 where it has none.
    public func routingWork(of block: BlockPlan) -> Double {
        guard let mixture = block.block.mixture else { return 0 }
        return Double(calibrationTokens) * Double(mixture.experts) * Double(mixture.router.linear.columns)
    }
}
