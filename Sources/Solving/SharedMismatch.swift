// What of a stage differs from the dense model, summed over ranks, and the map to it that each rank makes its rows of.

internal import Calibration
internal import Compression
internal import Failures
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

/// The sum of D^T X̂ over the batches of all ranks, D being what differs, panel by panel with its owners, and S from it.
struct SharedMismatch {
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    /// At the stage: those of the compressed model and those of the dense one.
    let batches: CalibrationBatches
    let dense: CalibrationBatches
    let stage: Stage
    let mismatch: Mismatch
    /// Rows of all batches of all ranks.
    let tokens: Int
    /// Panels of rows that are summed at a time; nil: all.
    let panelsAtOnce: Int?
    private var world: Communicator { nodes.world }
    private var rows: Int { mismatch.columns(of: stage) }

    /// - Parameter factors: of the stage's Hessian with what decides them, in the same order on every rank.
    func make(_ factors: [(FactorSettings, StageFactor)]) throws -> [FactorSettings: StageMismatch] {
        var (own, squares) = try sum()
        return try factors.enumerated().reduce(into: [:]) { found, factor in
            // The last map takes the place of the sums.
            found[factor.element.0] = try solve(&own, isLast: factor.offset == factors.count - 1, squares, factor.element.1)
        }
    }

    /// The sums of this rank's panels over all ranks, rounded to fp32, and by column of D the sum of d^2.
    private func sum() throws -> (own: [Int: Matrix<Float>], squares: [Double]) {
        let largest = try agreedMaxima()
        let panels = choleskyPanels(order: rows)
        var own: [Int: Matrix<Float>] = [:]
        var squares: [Double] = []
        let atOnce = panelsAtOnce ?? panels.count
        for first in stride(from: 0, to: panels.count, by: atOnce) {
            let part = first..<min(first + atOnce, panels.count)
            let sum = clock.measure(.hessian) {
                MismatchSum(
                    rows: rows, columns: stage.columns, part: panels[part.lowerBound].lowerBound..<panels[part.upperBound - 1].upperBound,
                    tokens: tokens, maxMagnitudes: largest, share: batches.share)
            }
            try add(to: sum)
            try clock.measure(.reduce) { () throws in
                var sums = sum.squares
                try world.allReduceSum(&sums)
                squares += sums
                let owners = part.map(assignment.panelOwner)
                for (index, owner) in zip(part, owners) where owner == world.rank {
                    own[index] = Matrix(uninitialized: panels[index].count, stage.columns)
                }
                try nodes.panelSum(columns: stage.columns).add(owners) { MismatchPanel(sum.panels[$0].values, sum: own[part.lowerBound + $0]) }
            }
        }
        return (own, squares)
    }

    /// The largest |d| and |x̂| over all batches of all ranks.
    private func agreedMaxima() throws -> (d: Float, x: Float) {
        var largest: [Float] = [0, 0]
        try world.together(exitCode: exitCode) {
            try clock.measure(.hessian) { () throws in
                try batches.forEachMismatch(mismatch, of: stage, beside: dense) { x, d in
                    largest[0] = max(largest[0], d.maxMagnitude)
                    largest[1] = max(largest[1], x.maxMagnitude)
                }
            }
        }
        try clock.measure(.reduce) { () throws in try world.allReduceMax(&largest) }
        guard largest.allSatisfy(\.isFinite) else { throw AgreedFailure.notFinite(input: "\(stage.name) in the dense model") }
        return (largest[0], largest[1])
    }

    private func add(to sum: MismatchSum) throws {
        let failure = try clock.measure(.hessian) { () throws in
            try batches.forEachGroupMismatch(mismatch, of: stage, beside: dense) { x, d in
                switch (d, x) {
                case (.f32(let d), .f32(let x)): sum.add(d: d, x: x)
                case (.bf16(let d), .bf16(let x)): sum.add(d: d, x: x)
                default: preconditionFailure("an input and a difference of different types")
                }
                clock.count(.hessian, operations: sum.operations(tokens: x.rows))
            }
        }
        try world.together(exitCode: exitCode) { () throws in if let failure { throw failure } }
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
        let panels = choleskyPanels(order: self.rows)
        var finished: [Int: Matrix<Float>] = [:]
        for index in rows.keys {
            guard let solved = rows.removeValue(forKey: index) else { continue }
            finished[index] = clock.measure(.factor) { solved.finish(squares: Array(squares[panels[index]])) }
            clock.count(.factor, operations: MismatchRows.operations(rows: panels[index].count, columns: stage.columns))
        }
        return StageMismatch(rows: self.rows, columns: stage.columns, own: finished)
    }
}
