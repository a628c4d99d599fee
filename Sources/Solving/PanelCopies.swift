// Factored panels on their way from their owners to all ranks.

internal import LinearAlgebra
internal import MessagePassing

/// Copies panels to every rank. The ranks of a node read one copy, in memory that they share.
///
/// Two panels take turns there: all ranks of the node have passed the barrier of one, and so have done with the one before it, when the next is written.
struct PanelCopies<Element: MPIElement & BinaryFloatingPoint & SendableMetatype> {
    private let nodes: NodeGroups
    /// Each as long as the longest panel; empty where a node has one rank.
    private let places: [Matrix<Element>]
    private var turn = 0

    /// - Parameters:
    ///   - columns: of the matrix that is factored.
    ///   - pages: of two panels; nil where this node has one rank.
    init(_ nodes: NodeGroups, columns: Int, in pages: SharedPages?) {
        self.nodes = nodes
        places = pages?.matrices(FactorMemory.shapesInHand(columns: columns)) ?? []
    }

    /// A panel on every rank, rounded, until the next but one is copied; collective.
    ///
    /// - Parameters:
    ///   - panel: [rows, columns]; nil but on its owner, and on the ranks that share it with the owner.
    ///   - share: those of them that this rank copies.
    mutating func copy(
        _ panel: Matrix<Double>?, rows: Int, _ columns: Int, from owner: Int, share: (index: Int, count: Int)
    ) throws -> Matrix<Element> {
        guard !places.isEmpty else {
            let copy = Matrix<Element>(uninitialized: rows, columns)
            if let panel { roundPanel(panel, into: copy) }
            try nodes.broadcast(UnsafeMutableBufferPointer(start: copy.base, count: copy.count), from: owner)
            return copy
        }
        let shared = places[turn % places.count].reshaped(rows, columns)
        turn += 1
        if let panel { roundPanel(panel, into: shared, share: share) }
        // Nothing leaves before all of it is there.
        if panel != nil, share.count > 1, nodes.count > 1 { try nodes.own.barrier() }
        try nodes.broadcastToNodes(UnsafeMutableBufferPointer(start: shared.base, count: shared.count), from: owner)
        return shared
    }
}
