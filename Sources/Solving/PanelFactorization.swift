// The factorisation of summed panels over ranks: while a panel is on its way to all of them, they take those before it from later ones.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding

/// Panels that a rank works on, by their number: its own, or those of its node with its share of their tiles.
struct HeldPanels {
    /// Each: [rows from the diagonal on, columns of the panel]
    var panels: [Int: Matrix<Double>]
    let share: (index: Int, count: Int)
}

/// Tile Cholesky with lookahead: the owner of the next panel updates and factors that one first. It travels while all ranks update the panels after it, so that
/// nobody waits for a panel that could have been there (Kurzak and Dongarra, LAPACK Working Note 178).
struct PanelFactorization<Element: MPIElement & BinaryFloatingPoint & SendableMetatype> {
    /// Takes a factored panel from later ones, given with the row at which each begins.
    typealias Update = (_ later: [(target: Matrix<Double>, row: Int)], _ panel: Matrix<Element>, _ share: (index: Int, count: Int)) -> Void

    private let nodes: NodeGroups
    private let assignment: Assignment
    private let clock: PhaseClock
    private let plan: FactorPlan
    private let panels: [Range<Int>]
    private let update: Update
    private var held: HeldPanels
    private var copies: PanelCopies<Element>

    /// - Parameters:
    ///   - held: the sums of the panels that this rank works on, damped.
    ///   - pages: as `PanelCopies` takes them.
    init(
        _ held: consuming HeldPanels, _ nodes: NodeGroups, _ assignment: Assignment, _ clock: PhaseClock, _ plan: FactorPlan, columns: Int,
        in pages: SharedPages?, update: @escaping Update
    ) {
        (self.held, self.nodes, self.assignment, self.clock, self.plan, self.update) = (held, nodes, assignment, clock, plan, update)
        panels = choleskyPanels(order: columns)
        copies = PanelCopies(nodes, columns: columns, in: pages)
    }

    /// Factors all panels. Collective.
    ///
    /// - Returns: where the matrix is not positive definite; nil when it was factored.
    /// - Throws: `CompressionError`, the same on every rank, for a pivot that fp32 does not hold.
    mutating func run(into result: PanelsOfR) throws -> NotPositiveDefinite? {
        try send(0)
        for (index, range) in panels.enumerated() {
            let panel = try clock.measure(.reduce) { () throws in try copies.finish() }
            if let place = (0..<range.count).first(where: { panel[$0, $0].isNaN }) { return NotPositiveDefinite(index: range.lowerBound + place) }
            try plan.storeDiagonal(range, panel, into: &result.diagonal)
            if index + 1 < panels.count {
                subtract(panel, index, from: [index + 1])
                try send(index + 1)
            }
            clock.measure(.factor) { result.store(panel, index, range, plan, isOwn: assignment.panelOwner(index) == nodes.world.rank) }
            subtract(panel, index, from: held.panels.keys.sorted())
        }
        return nil
    }

    /// Takes a factored panel from those of some later ones that this rank works on.
    private func subtract(_ panel: Matrix<Element>, _ index: Int, from later: [Int]) {
        let targets = later.compactMap { other in
            held.panels[other].map { (target: $0, row: panels[other].lowerBound - panels[index].lowerBound) }
        }
        guard !targets.isEmpty else { return }
        clock.measure(.factor) { update(targets, panel, held.share) }
    }

    /// Factors a panel from which all earlier ones have been taken, where it is, and begins to copy it to all ranks. One that cannot be factored
    /// travels with a NaN on its diagonal.
    private mutating func send(_ index: Int) throws {
        let range = panels[index], owner = assignment.panelOwner(index)
        // Done with here, too: what is left of it is its part of R.
        let panel = held.panels.removeValue(forKey: index)
        if let panel {
            try meet()
            if owner == nodes.world.rank { clock.measure(.factor) { factorDiagonal(panel, range) } }
            try meet()
            clock.measure(.factor) { solvePanel(panel, precision: plan.precision, share: held.share) }
        }
        let rows = panels.last!.upperBound - range.lowerBound
        try clock.measure(.reduce) { () throws in try copies.begin(panel, rows: rows, range.count, from: owner, share: held.share) }
    }

    private func factorDiagonal(_ panel: Matrix<Double>, _ range: Range<Int>) {
        do throws(NotPositiveDefinite) {
            try LinearAlgebra.factorDiagonal(of: panel, at: range.lowerBound)
            try plan.checkPivots(range, panel)
        } catch {
            let place = error.index - range.lowerBound
            panel[place, place] = .nan
        }
    }

    /// Waits for the ranks that work on the same panels.
    private func meet() throws {
        if held.share.count > 1 { try clock.measure(.reduce) { () throws in try nodes.own.barrier() } }
    }
}

/// What becomes of the panels as they are factored.
final class PanelsOfR {
    /// Of L: [columns]
    var diagonal: [Float]
    /// R: [columns, columns], when every rank is to have it; and which of its rows this rank of its node stores.
    let r: Matrix<Float>?
    private let share: (index: Int, count: Int)
    /// Panels of R with their owner, when not.
    private(set) var own: [Int: Matrix<Float>] = [:]

    /// - Parameter pages: of R, where the ranks of a node share it.
    init(columns: Int, isComplete: Bool, in pages: SharedPages?) {
        diagonal = Array(repeating: 0, count: columns)
        r = isComplete ? pages?.matrix(columns, columns) ?? Matrix(uninitializedUpperTriangle: columns) : nil
        share = pages?.place ?? (0, 1)
    }

    /// - Parameter panel: [rows from the diagonal on, columns of the panel], on every rank.
    func store(_ panel: Matrix<some BinaryFloatingPoint & SendableMetatype>, _ index: Int, _ range: Range<Int>, _ plan: FactorPlan, isOwn: Bool) {
        if let r {
            plan.store(range, panel, into: r.rows(0..<panel.rows).columns(plan.columnsOfR(range)), share: share)
        } else if isOwn {
            let r = Matrix<Float>(zeros: panel.rows, range.count)
            plan.store(range, panel, into: r)
            own[index] = r
        }
    }
}
