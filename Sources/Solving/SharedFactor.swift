// The factor of a Hessian whose terms lie on all ranks: summed part by part to the owners of panels, and factored together.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding
internal import Transformers

/// Tile Cholesky over ranks. Panels of columns are owned in turn; a rank keeps its own panels, or the ranks of a node keep theirs together and share the
/// work on them. The one in hand, and the whole of R, are there once for the ranks of a node.
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
    /// Whether the ranks of a node keep their panels together.
    let sharesPanels: Bool
    /// What products are computed in. With bf16, R comes from products in fp32 where they do, else from products in fp64.
    let compute: Compute
    /// Whether R is used in bf16 as well.
    private var isNarrowed: Bool { compute == .bf16 && penalty == 0 }

    private let columns: Int
    private var world: Communicator { nodes.world }

    /// - Parameter isComplete: whether every rank is to have the whole of R.
    init(
        nodes: NodeGroups, assignment: Assignment, clock: PhaseClock, hessian: any HessianParts, settings: FactorSettings, penalty: Double, isComplete: Bool,
        sharesPanels: Bool, compute: Compute
    ) {
        (self.nodes, self.assignment, self.clock, self.settings, self.penalty) = (nodes, assignment, clock, settings, penalty)
        (self.hessian, self.isComplete, self.sharesPanels, self.compute) = (hessian, isComplete, sharesPanels, compute)
        columns = hessian.diagonal.count
    }

    /// - Throws: `CompressionError`, the same on every rank, when no damping that is allowed makes the Hessian regular.
    func make() throws -> StageFactor {
        var diagonal = hessian.diagonal
        try clock.measure(.reduce) { () throws in try world.allReduceSum(&diagonal) }
        var plan = try FactorPlan(
            diagonal: diagonal, dampingFraction: settings.damping, maximumFraction: settings.maxDamping, actOrder: settings.actOrder,
            wholeGroups: settings.wholeGroups, precision: compute == .bf16 ? .fp32 : .fp64, scale: settings.dampingScale, penalty: penalty)
        while true {
            let memory = try clock.measure(.reduce) { () throws in
                try FactorMemory(
                    nodes, columns: columns, panels: sharesPanels ? nearPanels.map(\.shape) : nil, isComplete: isComplete, isNarrowed: isNarrowed,
                    precision: plan.precision)
            }
            let (held, rank) = try reducePanels(plan, in: memory.panels)
            clock.count(.factor, operations: operations(share: held.share))
            let result = PanelsOfR(columns: columns, isComplete: isComplete, in: memory.r)
            let failure =
                switch plan.precision {
                case .fp64: try factor(consume held, plan, memory, { updatePanels($0, with: $1 as Matrix<Double>, share: $2) }, into: result)
                case .fp32: try factor(consume held, plan, memory, { updatePanels($0, with: $1 as Matrix<Float>, share: $2) }, into: result)
                }
            guard let failure else {
                let outline = plan.outline(diagonalOfR: result.diagonal)
                let complete = try result.r.map { try completed(outline, r: $0, in: memory.narrowed) }
                return StageFactor(outline: outline, effectiveRank: rank.value, isNarrowed: isNarrowed, complete: complete, own: result.own)
            }
            try plan.prepareRetry(after: failure)
        }
    }

    /// The factor, when this rank has stored what it is to store of R.
    private func completed(_ outline: FactorOutline, r: Matrix<Float>, in memory: SharedMemory?) throws -> Factor {
        try clock.measure(.reduce) { () throws in try nodes.own.barrier() }
        let factor = clock.measure(.factor) { Factor(outline: outline, r: r, isNarrowed: isNarrowed, in: memory.map { nodes.pages(of: $0) }) }
        try clock.measure(.reduce) { () throws in try nodes.own.barrier() }
        return factor
    }

    /// Multiplications and additions of this rank.
    private func operations(share: (index: Int, count: Int)) -> Double {
        let ranks = share.count > 1 ? (0..<world.size).filter(nodes.isNear) : [world.rank]
        return ranks.reduce(0) { $0 + assignment.factorOperations(columns: columns, of: $1) } / Double(share.count)
    }

    /// The panels that ranks of this node own, and their shapes: [rows from the diagonal on, columns of the panel].
    private var nearPanels: [(index: Int, shape: (rows: Int, columns: Int))] {
        choleskyPanels(order: columns).enumerated().filter { nodes.isNear(assignment.panelOwner($0.offset)) }.map { index, range in
            (index, (columns - range.lowerBound, range.count))
        }
    }

    /// Zeros for the panels that this rank works on.
    private func heldPanels(in pages: SharedPages?) -> HeldPanels {
        let near = nearPanels
        if let pages {
            let matrices: [Matrix<Double>] = pages.matrices(near.map(\.shape))
            return HeldPanels(panels: Dictionary(uniqueKeysWithValues: zip(near.map(\.index), matrices)), share: pages.place)
        }
        let own = near.filter { assignment.panelOwner($0.index) == world.rank }.map { ($0.index, Matrix<Double>(zeros: $0.shape.rows, $0.shape.columns)) }
        return HeldPanels(panels: Dictionary(uniqueKeysWithValues: own), share: (0, 1))
    }

    /// The sums of the panels over all ranks, damped. And the Hessian's effective rank, on all ranks.
    private func reducePanels(_ plan: FactorPlan, in pages: SharedPages?) throws -> (held: HeldPanels, rank: EffectiveRank) {
        let panels = choleskyPanels(order: columns)
        let owners = panels.indices.map(assignment.panelOwner)
        let held = clock.measure(.reduce) { heldPanels(in: pages) }
        try hessian.forEachPart { part in
            try clock.measure(.reduce) { () throws in
                try nodes.panelSum(columns: columns).add(owners) { index in
                    HessianPanel(elements: PanelPart(plan, panel: panels[index], hessianColumns: part.part), part: part, panel: held.panels[index])
                }
            }
        }
        var rank = EffectiveRank(plan)
        clock.measure(.factor) {
            for (index, panel) in held.panels where owners[index] == world.rank {
                rank.panelSums[index] = plan.squaredCorrelations(panels[index], panel)
                plan.damp(panels[index], panel)
            }
        }
        // From here on the ranks of a node may touch each other's panels.
        try clock.measure(.reduce) { () throws in try world.allReduceSum(&rank.panelSums) }
        return (held, rank)
    }

    /// - Parameter held: kept by nobody else, since panels go as they are factored.
    /// - Returns: where the matrix is not positive definite; nil when it was factored.
    private func factor<E: MPIElement & BinaryFloatingPoint & SendableMetatype>(
        _ held: consuming HeldPanels, _ plan: FactorPlan, _ memory: FactorMemory, _ update: @escaping PanelFactorization<E>.Update, into result: PanelsOfR
    ) throws -> NotPositiveDefinite? {
        var factorization = PanelFactorization(consume held, nodes, assignment, clock, plan, columns: columns, in: memory.inHand, update: update)
        return try factorization.run(into: result)
    }
}
