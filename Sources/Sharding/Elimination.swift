// What OBQ and ExactOBS take, which take columns out of each row in an order of its own: arithmetic, memory and time.

internal import Compression
internal import Recipes

extension StagePlan {
    /// Whether a tile's rows are solved in orders of their own.
    func isEliminated(_ tile: Tile) -> Bool { linears[tile.linear].treatment?.method.eliminates == true }

    /// Multiplications and additions of a row.
    func eliminationOperations(of linear: LinearPlan) -> Double {
        linear.pruning.map { ExactOBS.operations(columns: columns, $0.sparsity) } ?? OBQ.operations(columns: columns)
    }

    /// Inverses of Hessians that the stage's linears need: those whose damping differs need one each.
    var inverseCount: Int {
        Set(treatments.filter { $0.method.eliminates }.map { [$0.damping, $0.maxDamping] }).count
    }

    /// Multiplications and additions of making them, on every rank.
    var inverseOperations: Double { Double(inverseCount) * InverseHessian.operations(columns: columns) }

    /// Whether tiles need the whole of R where they are solved.
    var needsCompleteFactor: Bool { prunes || inverseCount > 0 }
}

/// The arithmetic of rows that are solved in orders of their own, beside all else of a run: multiplications and additions.
public struct EliminationShare: Sendable, Equatable {
    public var operations = 0.0
    public var others = 0.0
    /// The columns of the linears that have the most of them, and the share of these linears.
    public var columns = 0
    public var share = 0.0
}

extension Plan {
    /// nil where no linear is solved in that way. The work of a row grows with the cube of its columns.
    public var elimination: EliminationShare? {
        var operations: [Int: Double] = [:]
        for group in stageGroups where group.stage.inverseCount > 0 {
            let stage = group.stage, tiles = stage.tiles.filter(stage.isEliminated)
            operations[stage.columns, default: 0] += Double(group.count) * tiles.reduce(0) { $0 + stage.solveOperations(of: $1) }
        }
        guard let most = operations.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }) else { return nil }
        let all = operations.values.reduce(0, +), costs = costs(ranks: 1)
        return EliminationShare(
            operations: all, others: costs.forwardOperations + costs.hessianOperations + costs.factorOperations + costs.solveOperations - all,
            columns: most.key, share: most.value / all)
    }
}

extension MemoryModel {
    /// The inverses of a stage's Hessians.
    /// - Parameter isMade: while the last of them is made.
    func inverses(_ stage: StagePlan, making isMade: Bool = false) -> Int {
        guard stage.inverseCount > 0 else { return 0 }
        return stage.inverseCount * InverseHessian.byteCount(columns: stage.columns) + (isMade ? InverseHessian.workByteCount(columns: stage.columns) : 0)
    }

    /// The rows that the threads solve.
    func rowsInHand(_ stage: StagePlan) -> Int {
        guard stage.inverseCount > 0 else { return 0 }
        let width = stage.treatments.compactMap { $0.pruning?.blockColumns }.max() ?? 1
        return threads * max(OBQ.byteCount(columns: stage.columns), ExactOBS.byteCount(columns: stage.columns, width: width))
    }

    /// The tiles of a rank that go through ExactOBS, and the rows that its threads solve.
    func exactOBS(_ stage: StagePlan, count: Int, lanes: Int) -> Int {
        guard stage.inverseCount > 0 else { return 0 }
        return stage.columns * lanes * (count * ExactOBS.heldBytes + min(threads, count) * ExactOBS.workBytes) + rowsInHand(stage)
    }
}

extension Workload {
    /// Eliminations add multiples of rows one by one, in fp64: about an eighth of the rate of factorisations (measured with 256 columns).
    private static let shareOfProducts = 0.125

    /// Threads share the rows of tiles.
    func eliminationSeconds(_ stage: StagePlan, _ tiles: [Tile]) -> Double {
        tiles.reduce(0) { $0 + stage.solveOperations(of: $1) } / (Self.shareOfProducts * rates.factorFloat)
    }
}
