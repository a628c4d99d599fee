// The factor of a Hessian whose terms lie on all ranks: reduced panel by panel to owners, factored together, complete on every rank.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding

/// Tile Cholesky over ranks. Panels of columns are owned in turn; a rank keeps its own panels, and the one in hand.
///
/// Sums are exact and every tile sees the same operations in the same order wherever it lies, so the factor has the same bits for any number of ranks.
struct SharedFactor {
    let world: Communicator
    let assignment: Assignment
    let clock: PhaseClock
    /// This rank's sum of X^T X: [columns, columns], upper half.
    let sum: Matrix<Double>
    let settings: FactorSettings

    private var columns: Int { sum.columns }

    /// - Throws: `CompressionError`, the same on every rank, when no damping that is allowed makes the Hessian regular.
    func make() throws -> Factor {
        var diagonal = (0..<columns).map { sum[$0, $0] }
        try clock.measure(.reduce) { () throws in try world.allReduceSum(&diagonal) }
        var plan = try FactorPlan(
            diagonal: diagonal, dampingFraction: settings.damping, maximumFraction: settings.maxDamping, actOrder: settings.actOrder,
            wholeGroups: settings.wholeGroups)
        let r = Matrix<Float>(repeating: 0, columns, columns)
        while true {
            let own = try clock.measure(.reduce) { () throws in try reducePanels(plan) }
            clock.count(.factor, operations: assignment.factorOperations(columns: columns, of: world.rank))
            guard let failure = try factorPanels(own, plan, into: r) else { return plan.factor(r) }
            try plan.raiseDamping(after: failure)
        }
    }

    /// The sums of the panels over all ranks, damped; each with its owner alone.
    private func reducePanels(_ plan: FactorPlan) throws -> [Int: Matrix<Double>] {
        var own: [Int: Matrix<Double>] = [:]
        for (index, range) in choleskyPanels(order: columns).enumerated() {
            let owner = assignment.panelOwner(index)
            // What lies above the diagonal travels too, so it must not be arbitrary.
            let panel = Matrix<Double>(repeating: 0, columns - range.lowerBound, range.count)
            plan.copy(range, of: sum, into: panel)
            try world.reduceSum(UnsafeMutableBufferPointer(start: panel.base, count: panel.count), to: owner)
            guard owner == world.rank else { continue }
            plan.damp(range, panel)
            own[index] = panel
        }
        return own
    }

    /// Factors panel after panel; each goes to all ranks, which update their own with it.
    /// - Returns: where the matrix is not positive definite; nil when it was factored.
    private func factorPanels(_ own: [Int: Matrix<Double>], _ plan: FactorPlan, into r: Matrix<Float>) throws -> NotPositiveDefinite? {
        let panels = choleskyPanels(order: columns)
        for (index, range) in panels.enumerated() {
            let owner = assignment.panelOwner(index)
            var failure = [-1]
            if let panel = own[index] {
                clock.measure(.factor) {
                    do throws(NotPositiveDefinite) { try factorPanel(panel, at: range.lowerBound) } catch { failure[0] = error.index }
                }
            }
            failure = try clock.measure(.reduce) { () throws in try world.broadcast(failure, from: owner) }
            guard failure[0] < 0 else { return NotPositiveDefinite(index: failure[0]) }
            let panel = own[index] ?? Matrix<Double>(uninitialized: columns - range.lowerBound, range.count)
            try clock.measure(.reduce) { () throws in
                try world.broadcast(UnsafeMutableBufferPointer(start: panel.base, count: panel.count), from: owner)
            }
            try clock.measure(.factor) { () throws in
                try plan.store(range, panel, into: r)
                let later = panels.indices.filter { $0 > index }.compactMap { other in own[other].map { ($0, panels[other].lowerBound - range.lowerBound) } }
                updatePanels(later, with: panel)
            }
        }
        return nil
    }
}
