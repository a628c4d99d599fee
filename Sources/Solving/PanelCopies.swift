// Factored panels on their way from their owners to all ranks.

internal import LinearAlgebra
internal import MessagePassing

/// Copies panels to every rank while it does something else. The ranks of a node read one copy, in memory that they share.
///
/// Two panels take turns: when the next is begun, all ranks of the node have passed the barrier of the last, and so have done with the one before it.
struct PanelCopies<Element: MPIElement & BinaryFloatingPoint & SendableMetatype> {
    private let nodes: NodeGroups
    /// Each as long as the longest panel.
    private let places: [Matrix<Element>]
    private var turn = 0
    private var pending: (copy: NodeGroups.PendingCopy, panel: Matrix<Element>)?

    /// - Parameters:
    ///   - columns: of the matrix that is factored.
    ///   - pages: of two panels; nil where this node has one rank.
    init(_ nodes: NodeGroups, columns: Int, in pages: SharedPages?) {
        self.nodes = nodes
        let shapes = FactorMemory.shapesInHand(columns: columns)
        places = pages?.matrices(shapes) ?? shapes.map { Matrix(uninitialized: $0.rows, $0.columns) }
    }

    /// Begins to copy a panel, rounded; collective. No rank of the node calls MPI until `finish`.
    ///
    /// - Parameters:
    ///   - panel: [rows, columns]; nil but on its owner, and on the ranks that share it with the owner.
    ///   - share: those of them that this rank rounds.
    mutating func begin(_ panel: Matrix<Double>?, rows: Int, _ columns: Int, from owner: Int, share: (index: Int, count: Int)) throws {
        let place = places[turn % places.count].reshaped(rows, columns)
        turn += 1
        if let panel { roundPanel(panel, into: place, share: share) }
        // Nothing leaves before all of it is there.
        if panel != nil, share.count > 1, nodes.count > 1 { try nodes.own.barrier() }
        pending = (nodes.beginCopyToNodes(UnsafeMutableBufferPointer(start: place.base, count: place.count), from: owner), place)
    }

    /// The panel that was begun, on every rank until the next but one is begun; collective.
    mutating func finish() throws -> Matrix<Element> {
        guard let (copy, panel) = pending else { preconditionFailure("no panel was begun") }
        pending = nil
        try copy.finish()
        return panel
    }
}
