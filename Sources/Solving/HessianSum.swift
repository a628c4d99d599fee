// A node's share of a stage's Hessian: X^T X summed over the batches of its ranks, all columns at once or a few at a time.

internal import Calibration
internal import Failures
package import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding
internal import Transformers

/// A node's share of a sum of X^T X, which its user takes part by part.
package protocol HessianParts {
    /// This rank's share of the diagonal, by column.
    var diagonal: [Double] { get }

    /// Gives the node's sum to `body`, some of its columns at a time; every rank is given the same columns at the same time.
    func forEachPart(_ body: (GramSum) throws -> Void) throws
}

/// A sum that is there as a whole, such as that of an expert on its owner.
struct WholeHessian: HessianParts {
    let sum: GramSum
    var diagonal: [Double] { sum.diagonal() }

    func forEachPart(_ body: (GramSum) throws -> Void) throws { try body(sum) }
}

/// The sum over the batches of all ranks. The ranks of a node add to the same sum, in memory that they share: sums are exact, so that the order in which
/// they come does not matter. The ranks of a tensor-parallel group see all batches of the group, and each adds some blocks of the matrix.
///
/// With all columns at once the batches are visited once. With few, they are visited once for the blocks on the diagonal, from which the order of
/// columns follows, and then once for each part; no product is computed twice while the matrix is taken once.
package final class HessianSum: HessianParts {
    private let batches: CalibrationBatches
    private let stage: Stage
    private let tokens: Int
    package let maxMagnitude: Float
    private let nodes: NodeGroups
    private let clock: PhaseClock
    private let blocks: Int?
    /// The whole sum, or its diagonal blocks.
    private let kept: GramSum
    package let diagonal: [Double]

    /// - Parameters:
    ///   - batches: those of this rank, at the stage.
    ///   - tokens: rows of all batches of all ranks.
    ///   - maxMagnitude: the largest |x| over all batches of all ranks.
    ///   - blocks: those of columns that are summed at a time; nil: all.
    init(_ batches: CalibrationBatches, _ stage: Stage, tokens: Int, maxMagnitude: Float, blocks: Int?, nodes: NodeGroups, clock: PhaseClock) throws {
        self.batches = batches
        self.stage = stage
        self.tokens = tokens
        self.maxMagnitude = maxMagnitude
        self.nodes = nodes
        self.clock = clock
        self.blocks = blocks
        kept = try Self.sum(batches, stage, nodes, clock) {
            let columns = stage.columns
            guard blocks == nil else {
                let pages = try nodes.sharedPages(byteCount: GramSum.sharedByteCount(diagonalOf: columns))
                return GramSum(diagonalOf: columns, tokens: tokens, maxMagnitude: maxMagnitude, share: batches.share, in: pages)
            }
            let pages = try nodes.sharedPages(byteCount: GramSum.sharedByteCount(columns: columns))
            return GramSum(columns: columns, tokens: tokens, maxMagnitude: maxMagnitude, share: batches.share, in: pages)
        }
        // One rank of a node says what all of them have.
        diagonal = nodes.own.isCoordinator ? kept.diagonal() : Array(repeating: 0, count: stage.columns)
    }

    package func forEachPart(_ body: (GramSum) throws -> Void) throws {
        guard let blocks else { return try body(kept) }
        for columns in ColumnBlocks.parts(of: stage.columns, blocks: blocks) {
            let part = try Self.sum(batches, stage, nodes, clock) {
                let pages = try nodes.sharedPages(byteCount: GramSum.sharedByteCount(columns: stage.columns, part: columns))
                return GramSum(
                    columns: stage.columns, part: columns, tokens: tokens, maxMagnitude: maxMagnitude, diagonal: kept, share: batches.share, in: pages)
            }
            try body(part)
        }
    }

    /// A sum over the batches of all ranks of the node, which is there when all of them have added theirs.
    ///
    /// - Parameter make: collective over the node, whose ranks meet an error together.
    private static func sum(
        _ batches: CalibrationBatches, _ stage: Stage, _ nodes: NodeGroups, _ clock: PhaseClock, _ make: () throws -> GramSum
    ) throws -> GramSum {
        let sum = Result { try clock.measure(.hessian, make) }
        let failure = try clock.measure(.hessian) { () throws -> (any Error)? in
            guard case .success(let gram) = sum else { return nil }
            return try batches.forEachGroupInput(of: stage) { input in
                gram.add(input)
                clock.count(.hessian, operations: gram.operations(tokens: input.rows))
            }
        }
        return try nodes.world.together(exitCode: exitCode) { () throws in
            if let failure { throw failure }
            return try sum.get()
        }
    }
}

extension GramSum {
    /// Adds X^T X of one batch, x: [tokens, columns].
    func add(_ x: Operand) {
        switch x {
        case .f32(let x): add(x)
        case .bf16(let x): add(x)
        }
    }
}
