// ADMM for pruning (Boza, 2024): weights and masks are found together, all columns of a tile at once.

internal import CKernels
public import LinearAlgebra

/// Numbers of the method. Published (arXiv 2401.02938) are a penalty of 1, 15 steps with more and more zeros, and 5 with the last mask. On layers of a trained
/// model the numbers here leave 5 to 10 % less output error in half the work, and masks with all zeros from the first step on are as good in the end.
public enum ADMM {
    /// rho, in units in which the damped Hessian's diagonal is 1: the share of it that the second factor's Hessian has besides.
    public static let penalty = 0.7
    /// Steps, each of which chooses a mask.
    public static let steps = 10
    /// Steps of conjugate gradients with the last mask; after six nothing changes any more in the layers looked at.
    public static let refinements = 8

    /// Products with a triangular factor, or solutions, that a tile takes: the Hessian times the weights, each step, and the gradient.
    public static var triangularActions: Int { 2 * (1 + steps + 1 + refinements) }
    /// Bytes of a weight of a tile from its beginning to its end: weights, target, weights to be cut and mask, and the scores of a comparison.
    package static let heldBytes = 4 + 4 + 4 + 1 + 4
    /// And while it takes a step: the new weights, or direction and curvature.
    package static let workBytes = 4 + 4
}

/// A tile of rows of one layer on its way through ADMM.
///
/// Wanted are weights q with zeros outside a mask and the least ||(w - q) R||^2. Two copies of the weights take turns: v has the least output error near
/// z - u, z has the zeros of v + u, and u adds up what z leaves out (all in the layer's own units, with D^2 the diagonal of H = R R^T):
///
///     z = v + u where kept, 0 elsewhere        kept: the largest |v + u| D, of a row's pattern or of the layer
///     u = u + v - z
///     v = (H w + rho D^2 (z - u)) (H + rho D^2)^-1
///
/// D makes the inputs of all columns alike, so that one rho serves all. The last matrix has a factor of its own, and a step is two triangular solutions
/// over the tile: matrix products, unlike the column loop. u is v + u where v is not kept and 0 elsewhere, so the sum v + u is all that is remembered. Then the
/// mask stays, and `MaskedWeights` finds the weights that are best under it.
public final class ADMMTile: PruningTile, @unchecked Sendable {
    public let pruning: PruningOptions
    private let tile: Tile
    private let type: ScaleType
    private let factor: Factor
    private let penalised: Factor
    /// D^2 of each column.
    private let diagonal: [Float]
    /// D of each column; see `FactorOutline.dampedNorms`.
    private let norms: [Float]
    private let mask: Mask
    /// H w: [columns, lanes]
    private let target: Matrix<Float>
    /// v + u: [columns, lanes]
    private let sum: Matrix<Float>

    public var rows: Int { tile.rows }
    public var comparisons: [Range<Int>] { pruning.comparisons(columns: tile.columns) }

    /// - Parameters:
    ///   - weights: [rows, columns]
    ///   - factor: of the Hessian, made without act-order.
    ///   - penalised: that of the same Hessian with `ADMM.penalty`.
    ///   - content: values; codes are refused.
    /// - Throws: `CompressionError`
    public init(weights: Matrix<Float>, factor: Factor, penalised: Factor, pruning: PruningOptions, content: TileContent) throws(CompressionError) {
        guard case .values(let type) = content else { throw .options("ADMM does not quantize") }
        try pruning.validate(columns: weights.columns, content)
        try factor.checkOrder(weights)
        try penalised.checkOrder(weights)
        self.pruning = pruning
        self.type = type
        self.factor = factor
        self.penalised = penalised
        tile = try Tile(weights, permutation: nil)
        diagonal = factor.outline.dampedDiagonal.map { Float($0) }
        norms = factor.outline.dampedNorms
        mask = Mask(columns: tile.columns, lanes: tile.lanes)
        target = tile.weights.copy()
        factor.multiplyHessian(target)
        sum = tile.weights.copy()
    }

    public func scores(_ columns: Range<Int>) -> Matrix<Float> { allScores().rows(columns).columns(0..<rows) }

    public func prune(_ columns: Range<Int>, threshold: Float) {
        precondition(columns == 0..<tile.columns, "columns \(columns) of a mask for all \(tile.columns)")
        mask.choose(columns, allScores(), above: threshold)
        step()
    }

    public func finish(measuringEnergy: Bool) throws(CompressionError) -> SolvedTile {
        if case .pattern(let pruned, let of) = pruning.sparsity {
            for _ in 0..<pruning.choices {
                mask.choose(0..<tile.columns, allScores(), pruned: pruned, of: of)
                step()
            }
        }
        MaskedWeights(factor: factor, diagonal: diagonal, kept: mask.kept).improve(sum, target: target, steps: ADMM.refinements)
        let values = try tile.values(sum, type)
        let errors = target
        for index in 0..<errors.count { errors.base[index] = tile.weights.base[index] - sum.base[index] }
        return .values(
            ValueTile(values: values, loss: factor.squaredNorms(errors, rows: rows), energy: measuringEnergy ? factor.energies(tile) : []))
    }

    /// |v + u| D: [columns, lanes]
    private func allScores() -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: tile.columns, tile.lanes)
        for column in 0..<tile.columns {
            let (value, score, norm) = (sum.row(column), result.row(column), norms[column])
            for lane in 0..<tile.lanes { score[lane] = value[lane].magnitude * norm }
        }
        return result
    }

    /// With the mask as it is: z and u, then v.
    private func step() {
        let next = Matrix<Float>(uninitialized: tile.columns, tile.lanes)
        for column in 0..<tile.columns {
            let (value, target, kept, result) = (sum.row(column), target.row(column), mask.kept.row(column), next.row(column))
            let weight = Float(ADMM.penalty) * diagonal[column]
            for lane in 0..<tile.lanes {
                // z - u is v + u where kept, and its opposite elsewhere, where v + u is the new u.
                let sign = 2 * Float(kept[lane]) - 1
                result[lane] = target[lane] + weight * sign * value[lane]
                value[lane] *= 1 - Float(kept[lane])
            }
        }
        penalised.solveHessian(next)
        cleave_add(sum.base, next.base, next.count)
    }
}
