// The factor of a Hessian whose terms lie on all ranks: summed part by part to the owners of panels, and factored together.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding
internal import Transformers

/// Tile Cholesky over ranks. Panels of columns are owned in turn; a rank keeps its own panels, and the one in hand.
///
/// Sums are exact and every tile sees the same operations in the same order wherever it lies, so the factor has the same bits for any number of ranks.
struct SharedFactor {
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    /// The node's sum of X^T X.
    let hessian: any HessianParts
    let settings: FactorSettings
    /// As `FactorPlan`'s.
    let penalty: Double
    let isComplete: Bool
    /// What products are computed in. With bf16, R comes from products in fp32 where they do, else from products in fp64.
    let compute: Compute
    /// Whether R is used in bf16 as well.
    private var isNarrowed: Bool { compute == .bf16 && penalty == 0 }

    private let columns: Int
    private var world: Communicator { nodes.world }

    /// - Parameter isComplete: whether every rank is to have the whole of R.
    init(
        nodes: NodeGroups, assignment: Assignment, clock: PhaseClock, hessian: any HessianParts, settings: FactorSettings, penalty: Double, isComplete: Bool,
        compute: Compute
    ) {
        (self.nodes, self.assignment, self.clock, self.settings, self.penalty) = (nodes, assignment, clock, settings, penalty)
        (self.hessian, self.isComplete, self.compute) = (hessian, isComplete, compute)
        columns = hessian.diagonal.count
    }

    /// What becomes of the panels as they are factored.
    private final class Result {
        var diagonal: [Float]
        /// R: [columns, columns], when every rank is to have it.
        let r: Matrix<Float>?
        /// Panels of R with their owner, when not.
        var own: [Int: Matrix<Float>] = [:]

        init(columns: Int, isComplete: Bool) {
            diagonal = Array(repeating: 0, count: columns)
            r = isComplete ? Matrix(uninitializedUpperTriangle: columns) : nil
        }
    }

    /// - Throws: `CompressionError`, the same on every rank, when no damping that is allowed makes the Hessian regular.
    func make() throws -> StageFactor {
        var diagonal = hessian.diagonal
        try clock.measure(.reduce) { () throws in try world.allReduceSum(&diagonal) }
        var plan = try FactorPlan(
            diagonal: diagonal, dampingFraction: settings.damping, maximumFraction: settings.maxDamping, actOrder: settings.actOrder,
            wholeGroups: settings.wholeGroups, precision: compute == .bf16 ? .fp32 : .fp64, scale: settings.dampingScale, penalty: penalty)
        while true {
            var (own, rank) = try reducePanels(plan)
            clock.count(.factor, operations: assignment.factorOperations(columns: columns, of: world.rank))
            let result = Result(columns: columns, isComplete: isComplete)
            guard let failure = try factorPanels(&own, plan, into: result) else {
                let outline = plan.outline(diagonalOfR: result.diagonal)
                let complete = clock.measure(.factor) { result.r.map { Factor(outline: outline, r: $0, isNarrowed: isNarrowed) } }
                return StageFactor(outline: outline, effectiveRank: rank.value, isNarrowed: isNarrowed, complete: complete, own: result.own)
            }
            try plan.prepareRetry(after: failure)
        }
    }

    /// The sums of the panels over all ranks, damped; each with its owner alone. And the Hessian's effective rank, on all ranks.
    private func reducePanels(_ plan: FactorPlan) throws -> (own: [Int: Matrix<Double>], rank: EffectiveRank) {
        let panels = choleskyPanels(order: columns)
        let owners = panels.indices.map(assignment.panelOwner)
        var own: [Int: Matrix<Double>] = [:]
        for (index, range) in panels.enumerated() where owners[index] == world.rank {
            own[index] = Matrix(zeros: columns - range.lowerBound, range.count)
        }
        try hessian.forEachPart { part in
            try clock.measure(.reduce) { () throws in
                try nodes.panelSum(columns: columns).add(owners) { index in
                    HessianPanel(elements: PanelPart(plan, panel: panels[index], hessianColumns: part.part), part: part, panel: own[index])
                }
            }
        }
        var rank = EffectiveRank(plan)
        clock.measure(.factor) {
            for (index, panel) in own {
                rank.panelSums[index] = plan.squaredCorrelations(panels[index], panel)
                plan.damp(panels[index], panel)
            }
        }
        try clock.measure(.reduce) { () throws in try world.allReduceSum(&rank.panelSums) }
        return (own, rank)
    }

    /// Factors panel after panel; each goes to all ranks, which update their own with it.
    /// - Returns: where the matrix is not positive definite; nil when it was factored.
    private func factorPanels(_ own: inout [Int: Matrix<Double>], _ plan: FactorPlan, into result: Result) throws -> NotPositiveDefinite? {
        let panels = choleskyPanels(order: columns)
        for (index, range) in panels.enumerated() {
            let owner = assignment.panelOwner(index)
            var failure = [-1]
            if let panel = own[index] {
                clock.measure(.factor) {
                    do throws(NotPositiveDefinite) {
                        try factorPanel(panel, at: range.lowerBound, precision: plan.precision)
                        try plan.checkPivots(range, panel)
                    } catch {
                        failure[0] = error.index
                    }
                }
            }
            try clock.measure(.reduce) { () throws in try failure.withUnsafeMutableBufferPointer { try world.broadcast($0, from: owner) } }
            guard failure[0] < 0 else { return NotPositiveDefinite(index: failure[0]) }
            // Done with for its owner, too: what is left of it is its part of R.
            let factored = own.removeValue(forKey: index)
            let later = panels.indices.filter { $0 > index }.compactMap { other in own[other].map { ($0, panels[other].lowerBound - range.lowerBound) } }
            switch plan.precision {
            case .fp64:
                let panel = try copied(factored, range, from: owner)
                try clock.measure(.factor) { () throws in
                    try store(panel, index, range, plan, into: result)
                    updatePanels(later, with: panel)
                }
            case .fp32:
                let panel = try copied(clock.measure(.factor) { factored.map(rounded) }, range, from: owner)
                try clock.measure(.factor) { () throws in
                    try store(panel, index, range, plan, into: result)
                    updatePanels(later, with: panel)
                }
            }
        }
        return nil
    }

    /// A panel of its owner, on every rank.
    private func copied<E: MPIElement>(_ panel: Matrix<E>?, _ range: Range<Int>, from owner: Int) throws -> Matrix<E> {
        let panel = panel ?? Matrix<E>(uninitialized: columns - range.lowerBound, range.count)
        try clock.measure(.reduce) { () throws in
            try nodes.broadcast(UnsafeMutableBufferPointer(start: panel.base, count: panel.count), from: owner)
        }
        return panel
    }

    private func store(_ panel: Matrix<some BinaryFloatingPoint & SendableMetatype>, _ index: Int, _ range: Range<Int>, _ plan: FactorPlan, into result: Result)
        throws
    {
        try plan.storeDiagonal(range, panel, into: &result.diagonal)
        if let r = result.r {
            plan.store(range, panel, into: r.rows(0..<panel.rows).columns(plan.columnsOfR(range)))
        } else if assignment.panelOwner(index) == world.rank {
            let r = Matrix<Float>(zeros: panel.rows, range.count)
            plan.store(range, panel, into: r)
            result.own[index] = r
        }
    }
}
