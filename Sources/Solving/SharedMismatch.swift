// What of a stage differs from the dense model, summed over ranks, and the map to it that each rank makes its rows of.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
package import Sharding
internal import Transformers

/// S of `MismatchRows` as it lies over the ranks.
package struct StageMismatch: Sendable {
    let rows: Int
    let columns: Int
    /// The panels of its rows that this rank owns, by their number: [rows of the panel, columns]
    let own: [Int: Matrix<Float>]
}

/// The maps of a stage, by what differs and by what decides the factor of the linears that they shift; the same keys on every rank.
package typealias StageMismatches = [Mismatch: [FactorSettings: StageMismatch]]

/// The sums of D^T X̂ as they lie over the ranks.
struct MismatchSums {
    /// The panels of this rank, by their number, rounded to fp32: [rows of the panel, columns]
    var own: [Int: Matrix<Float>] = [:]
    /// By column of D the sum of d^2, as far as it is summed.
    var squares: [Double] = []
}

/// The sum of D^T X̂, D being what differs, panel by panel with its owners, and S from it. What is summed are batches of all ranks, or an expert's tokens
/// with its owner.
struct SharedMismatch {
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    let stage: Stage
    let mismatch: Mismatch
    /// Rows of all that is summed, of all ranks.
    let tokens: Int
    private var world: Communicator { nodes.world }
    private var rows: Int { mismatch.columns(of: stage) }
    var panels: [Range<Int>] { choleskyPanels(order: rows) }

    /// This rank's sum of some panels, without any tokens.
    ///
    /// - Parameters:
    ///   - part: of the panels, by their numbers.
    ///   - maxMagnitudes: the largest |d| and |x̂| of all ranks, finite.
    ///   - share: of several sums that see the same tokens.
    func sum(of part: Range<Int>, maxMagnitudes: (d: Float, x: Float), share: (index: Int, count: Int) = (0, 1)) -> MismatchSum {
        let (first, last) = (panels[part.lowerBound], panels[part.upperBound - 1])
        return clock.measure(.hessian) {
            MismatchSum(
                rows: rows, columns: stage.columns, part: first.lowerBound..<last.upperBound, tokens: tokens, maxMagnitudes: maxMagnitudes, share: share)
        }
    }

    /// Adds D^T X̂ of some tokens.
    func add(d: Operand, x: Operand, to sum: MismatchSum) {
        switch (d, x) {
        case (.f32(let d), .f32(let x)): sum.add(d: d, x: x)
        case (.bf16(let d), .bf16(let x)): sum.add(d: d, x: x)
        default: preconditionFailure("an input and a difference of different types")
        }
        clock.count(.hessian, operations: sum.operations(tokens: x.rows))
    }

    /// Brings the sums of all ranks to the owners of panels. Collective.
    ///
    /// - Parameter part: the panels of `sum`, which follow those of `sums`.
    func reduce(_ sum: MismatchSum, _ part: Range<Int>, into sums: inout MismatchSums) throws {
        let panels = panels
        try clock.measure(.reduce) { () throws in
            var squares = sum.squares
            try world.allReduceSum(&squares)
            sums.squares += squares
            let owners = part.map(assignment.panelOwner)
            for (index, owner) in zip(part, owners) where owner == world.rank {
                sums.own[index] = Matrix(uninitialized: panels[index].count, stage.columns)
            }
            let own = sums.own
            try nodes.panelSum(columns: stage.columns).add(owners) { MismatchPanel(sum.panels[$0].values, sum: own[part.lowerBound + $0]) }
        }
    }

    /// The maps of the sums. Collective where R lies over the ranks.
    ///
    /// - Parameter factors: of the stage's Hessian with what decides them, in the same order on every rank.
    func maps(_ sums: consuming MismatchSums, _ factors: [(FactorSettings, StageFactor)]) throws -> [FactorSettings: StageMismatch] {
        let squares = sums.squares
        var own = sums.own
        sums.own = [:]
        return try factors.enumerated().reduce(into: [:]) { found, factor in
            // The last map takes the place of the sums.
            found[factor.element.0] = try solve(&own, isLast: factor.offset == factors.count - 1, squares, factor.element.1)
        }
    }

    /// This rank's rows of S. Collective where R lies over the ranks.
    private func solve(_ own: inout [Int: Matrix<Float>], isLast: Bool, _ squares: [Double], _ factor: StageFactor) throws -> StageMismatch {
        var rows: [Int: MismatchRows] = [:]
        for (index, panel) in own {
            rows[index] = clock.measure(.factor) { MismatchRows(panel, factor: factor.outline) }
            if isLast { own[index] = nil }
        }
        let ranges = MismatchRows.panels(columns: stage.columns)
        for (range, isForward) in ranges.map({ ($0, false) }) + ranges.reversed().map({ ($0, true) }) {
            let panel = try factor.complete?.panel(range) ?? FactorPanels(nodes: nodes, assignment: assignment, clock: clock).columns(range, of: factor)
            clock.measure(.factor) {
                for rows in rows.values { if isForward { rows.takeForward(panel) } else { rows.takeBackward(panel) } }
            }
        }
        let panels = panels
        var finished: [Int: Matrix<Float>] = [:]
        for index in rows.keys {
            guard let solved = rows.removeValue(forKey: index) else { continue }
            finished[index] = clock.measure(.factor) { solved.finish(squares: Array(squares[panels[index]])) }
            clock.count(.factor, operations: MismatchRows.operations(rows: panels[index].count, columns: stage.columns))
        }
        return StageMismatch(rows: self.rows, columns: stage.columns, own: finished)
    }
}
