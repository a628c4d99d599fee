// What a run will do, derived from checkpoint and recipe alone: the same on every rank and for every number of ranks.

internal import Compression
public import Recipes
public import Transformers

/// Blocks, stages, linears, tiles and batches of a run.
public struct Plan: Sendable {
    public let recipe: Recipe
    public let architecture: Architecture
    public internal(set) var blocks: [BlockPlan]
    /// Sequences of each batch; empty without calibration.
    public let batches: [Range<Int>]
    /// Whether the CPUs that run the plan multiply bf16 in hardware; elsewhere `compute: bf16` is done in fp32. It decides costs, and no cut.
    public var multipliesBFloat16 = true
    /// Bytes that a weight takes in the source, scales included: BF16's where that is not known.
    public var sourceBytesPerWeight = 2.0

    /// What operands of products are on these CPUs.
    func operands(_ compute: Compute) -> Compute { multipliesBFloat16 ? compute : .f32 }

    /// Tiles of the whole run.
    public var tileCount: Int { blocks.reduce(0) { $0 + $1.stages.reduce(0) { $0 + $1.tiles.count } } }

    /// Whether any linear's method needs a Hessian.
    public var needsHessian: Bool { blocks.contains { $0.stages.contains(where: \.needsHessian) } }

    /// Whether the batches go through the dense model as well.
    public let needsDenseInputs: Bool

    /// What is measured of the weights before the run; nil: nothing is.
    public let channelMeasurement: ChannelMeasurement?

    /// Bytes that are read for it.
    public var bytesOfMeasuring: Double { Double(channelMeasurement?.weights ?? 0) * sourceBytesPerWeight }

    /// Times that the batches pass a stage: twice where a block is run again as it was compressed, or the dense model runs beside.
    var forwardPasses: Double { recipe.propagation == .block || needsDenseInputs ? 2 : 1 }

    /// The linears that are compressed, in the order of the model.
    public var compressedLinears: some Collection<LinearPlan> {
        // One after the other: mixtures have tens of thousands.
        blocks.lazy.flatMap { $0.stages.lazy.flatMap { $0.linears.lazy.filter { $0.treatment != nil } } }
    }
}

/// One block of the model.
public struct BlockPlan: Sendable {
    public let block: Block
    public let stages: [StagePlan]
}

extension Plan {
    /// Tokens below which an expert of a block is starved: as the recipe says, else as many as an expert's linears have columns.
    public func minimumTokens(ofExpertsIn block: BlockPlan) -> Int {
        recipe.experts.minimumTokens ?? block.block.mixture.map { $0.stages(of: 0).map { block.stages[$0].columns }.max() ?? 0 } ?? 0
    }
}

/// The linears of a block that share one input, and the tiles into which their rows are cut.
public struct StagePlan: Sendable {
    public let stage: Stage
    public let linears: LinearPlans
    /// In the order of linears and rows: the unit of solving, of partial checkpoints, of resume, of progress.
    public let tiles: [Tile]

    public var columns: Int { stage.columns }

    /// Whether any linear's method needs the stage's Hessian.
    public var needsHessian: Bool { linears.contains { $0.treatment?.method.needsHessian == true } }
}

/// A fixed range of output rows of one linear.
public struct Tile: Sendable, Hashable {
    /// Index of the linear in its stage.
    public let linear: Int
    public let rows: Range<Int>
}

extension StagePlan {
    /// Whether the relative output error is measured on this tile: the first of its linear, and every fourth after it.
    public func isSampled(_ tile: Int) -> Bool {
        (tile - tiles(of: tiles[tile].linear).lowerBound) % 4 == 0
    }

    /// The tiles of a linear; empty when it keeps its weights.
    public func tiles(of linear: Int) -> Range<Int> {
        let first = tiles.firstIndex { $0.linear >= linear } ?? tiles.count
        return first..<(tiles[first...].firstIndex { $0.linear > linear } ?? tiles.count)
    }

    /// Rows of a tile when a stage's linears have `totalRows` rows of `columns` together.
    ///
    /// At least about 16 tiles, so that a stage spreads over ranks (those of an expert are one rank's: 4 for its threads); at least 64 rows, below which
    /// products lose speed; at most 256, and less where rows are very long, since a tile's time grows with the square of that and it is solved by one
    /// thread. A multiple of 32, so that packed rows end at word boundaries at every width.
    static func tileRows(totalRows: Int, columns: Int, isExpert: Bool) -> Int {
        let most = columns <= 16384 ? 256 : columns <= 32768 ? 128 : 64
        return min(max((totalRows / (isExpert ? 4 : 16) + 31) / 32 * 32, 64), most)
    }

    static func tiles(of linears: LinearPlans, isExpert: Bool) -> [Tile] {
        let treated = linears.indices.filter { linears[$0].treatment != nil }
        let totalRows = treated.reduce(0) { $0 + linears[$1].linear.rows }
        let least = tileRows(totalRows: totalRows, columns: linears.first?.linear.columns ?? 0, isExpert: isExpert)
        // A tile holds whole blocks of rows that share a scale.
        let hasBlocks = linears.contains { $0.options?.strategy == .block }
        let height = hasBlocks ? (least + scaleBlock - 1) / scaleBlock * scaleBlock : least
        return treated.flatMap { index in
            let rows = linears[index].linear.rows
            return stride(from: 0, to: rows, by: height).map { Tile(linear: index, rows: $0..<min($0 + height, rows)) }
        }
    }
}
