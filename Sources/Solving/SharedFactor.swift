// The factor of a Hessian whose terms lie on all ranks: summed part by part to the owners of panels, and factored together.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding
internal import Transformers

/// Tile Cholesky over ranks. Panels of columns are owned in turn; a rank keeps its own panels. The one in hand, and the whole of R, are there once for the
/// ranks of a node.
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
        /// R: [columns, columns], when every rank is to have it; and which of its rows this rank of its node stores.
        let r: Matrix<Float>?
        let share: (index: Int, count: Int)
        /// Panels of R with their owner, when not.
        var own: [Int: Matrix<Float>] = [:]

        /// - Parameter pages: of R, where the ranks of a node share it.
        init(columns: Int, isComplete: Bool, in pages: SharedPages?) {
            diagonal = Array(repeating: 0, count: columns)
            r = isComplete ? pages?.matrix(columns, columns) ?? Matrix(uninitializedUpperTriangle: columns) : nil
            share = pages?.place ?? (0, 1)
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
            let result = Result(columns: columns, isComplete: isComplete, in: try isComplete ? pagesOfR() : nil)
            let failure =
                switch plan.precision {
                case .fp64: try factorPanels(&own, plan, { $0 }, { updatePanels($0, with: $1) }, into: result)
                case .fp32: try factorPanels(&own, plan, { rounded($0) }, { updatePanels($0, with: $1) }, into: result)
                }
            guard let failure else {
                let outline = plan.outline(diagonalOfR: result.diagonal)
                let complete = try result.r.map { try completed(outline, r: $0) }
                return StageFactor(outline: outline, effectiveRank: rank.value, isNarrowed: isNarrowed, complete: complete, own: result.own)
            }
            try plan.prepareRetry(after: failure)
        }
    }

    /// Memory of R for the ranks of a node, where there are several.
    private func pagesOfR() throws -> SharedPages? {
        let shape = MemoryPool.TriangleShape(order: columns, elementByteCount: MemoryLayout<Float>.stride)
        return try nodes.sharedPages(byteCount: shape.byteCount, usedByteCount: shape.usedByteCount)
    }

    /// The factor, when this rank has stored what it is to store of R.
    private func completed(_ outline: FactorOutline, r: Matrix<Float>) throws -> Factor {
        try clock.measure(.reduce) { () throws in try nodes.own.barrier() }
        let pages = isNarrowed ? try nodes.sharedPages(byteCount: Factor.narrowedBytes(columns: columns)) : nil
        let factor = clock.measure(.factor) { Factor(outline: outline, r: r, isNarrowed: isNarrowed, in: pages) }
        try clock.measure(.reduce) { () throws in try nodes.own.barrier() }
        return factor
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
    ///
    /// - Parameters:
    ///   - rounded: a factored panel as others take it.
    ///   - update: takes it from later panels, given with the row at which each begins.
    /// - Returns: where the matrix is not positive definite; nil when it was factored.
    private func factorPanels<E: MPIElement & BinaryFloatingPoint & SendableMetatype>(
        _ own: inout [Int: Matrix<Double>], _ plan: FactorPlan, _ rounded: (Matrix<Double>) -> Matrix<E>,
        _ update: ([(target: Matrix<Double>, row: Int)], Matrix<E>) -> Void, into result: Result
    ) throws -> NotPositiveDefinite? {
        let panels = choleskyPanels(order: columns)
        var copies = try PanelCopies<E>(nodes, columns: columns)
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
            let message = clock.measure(.factor) { factored.map(rounded) }
            let panel = try clock.measure(.reduce) { () throws in try copies.copy(message, rows: columns - range.lowerBound, range.count, from: owner) }
            try clock.measure(.factor) { () throws in
                try store(panel, index, range, plan, into: result)
                update(later, panel)
            }
        }
        return nil
    }

    private func store(_ panel: Matrix<some BinaryFloatingPoint & SendableMetatype>, _ index: Int, _ range: Range<Int>, _ plan: FactorPlan, into result: Result)
        throws
    {
        try plan.storeDiagonal(range, panel, into: &result.diagonal)
        if let r = result.r {
            plan.store(range, panel, into: r.rows(0..<panel.rows).columns(plan.columnsOfR(range)), share: result.share)
        } else if assignment.panelOwner(index) == world.rank {
            let r = Matrix<Float>(zeros: panel.rows, range.count)
            plan.store(range, panel, into: r)
            result.own[index] = r
        }
    }
}
