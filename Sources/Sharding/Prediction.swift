// How long a run will take: its costs at the rates that a machine was measured to have.

internal import Compression
internal import Recipes
internal import Transformers

/// Seconds by phase. A stage's phases follow each other, and so do stages: nothing overlaps.
public struct Prediction: Codable, Sendable, Equatable {
    public var ranks: Int
    public var forward: Double
    public var hessian: Double
    public var factor: Double
    public var solve: Double
    /// Sums of Hessians, copies of factors and gathered tiles.
    public var messages: Double
    /// The source once for its checksums and once for solving, the result once written, each rank its share.
    public var files: Double

    public var total: Double { forward + hessian + factor + solve + messages + files }
}

extension Plan {
    /// The time of a run on a number of ranks like those of the profile.
    ///
    /// - Parameter sourceBytes: of the whole checkpoint.
    /// - Returns: nil for several ranks when the profile is that of a single one, which sends no messages.
    public func prediction(ranks: Int, sourceBytes: Int, on profile: MachineProfile) -> Prediction? {
        let costs = costs(ranks: ranks)
        let rates = profile.rates
        guard ranks == 1 || rates.reduce > 0 else { return nil }
        let isBFloat16 = recipe.compute == .bf16
        let hessians = blocks.flatMap(\.stages).filter(\.needsHessian).map { Double($0.columns) * Double($0.columns) }
        let tileBytes = blocks.flatMap(\.stages).reduce(0.0) { sum, stage in
            stage.linears.reduce(sum) { $0 + $1.bytesPerWeight * Double($1.linear.rows) * Double($1.linear.columns) }
        }
        // Halves of Hessians in fp64 to their owners, and of factors to all.
        let squares = hessians.reduce(0, +)
        let messages = ranks == 1 ? 0 : 4 * squares / rates.reduce + 4 * squares / rates.broadcast + tileBytes / rates.broadcast
            + Double(blocks.flatMap(\.stages).reduce(0) { $0 + 8 + $1.selections }) * rates.latency
        return Prediction(
            ranks: ranks, forward: costs.forwardOperations / (isBFloat16 ? rates.productBFloat16 : rates.productFloat),
            hessian: costs.hessianOperations / (isBFloat16 ? rates.gramBFloat16 : rates.gramFloat), factor: costs.factorOperations / rates.factor,
            solve: costs.solveOperations / rates.solve, messages: messages,
            files: (2 * Double(sourceBytes) / rates.diskRead + tileBytes / rates.diskWrite) / Double(ranks))
    }
}

extension LinearPlan {
    /// About what its tiles take; 0 when it keeps its weights.
    fileprivate var bytesPerWeight: Double {
        switch content {
        case .codes(let options)?: Double(options.bits) / 8
        case .values(.f32)?: 4
        case .values?: 2
        case nil: 0
        }
    }
}

extension StagePlan {
    /// All-reduces that find the thresholds of masks, three digits each; the linears of a stage share them.
    fileprivate var selections: Int {
        3 * (linears.map { $0.pruning?.comparisons(columns: columns).count ?? 0 }.max() ?? 0)
    }
}
