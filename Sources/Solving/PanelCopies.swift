// Factored panels on their way from their owners to all ranks.

internal import LinearAlgebra
internal import MessagePassing

/// Copies panels to every rank. The ranks of a node read one copy, in memory that they share.
///
/// Two panels take turns there: all ranks of the node have passed the barrier of one, and so have done with the one before it, when the next is written.
struct PanelCopies<Element: MPIElement> {
    private let nodes: NodeGroups
    /// Each as long as the longest panel; empty where a node has one rank.
    private let places: [Matrix<Element>]
    private var turn = 0

    /// Collective.
    ///
    /// - Parameter columns: of the matrix that is factored.
    init(_ nodes: NodeGroups, columns: Int) throws {
        self.nodes = nodes
        let shapes = Array(repeating: (rows: 1, columns: columns * min(choleskyTileSize, columns)), count: 2)
        places = try nodes.sharedPages(byteCount: SharedPages.byteCount(of: Element.self, shapes))?.matrices(shapes) ?? []
    }

    /// A panel on every rank, until the next but one is copied; collective.
    ///
    /// - Parameter panel: [rows, columns]; nil but on its owner.
    mutating func copy(_ panel: Matrix<Element>?, rows: Int, _ columns: Int, from owner: Int) throws -> Matrix<Element> {
        guard !places.isEmpty else {
            let panel = panel ?? Matrix(uninitialized: rows, columns)
            try nodes.broadcast(UnsafeMutableBufferPointer(start: panel.base, count: panel.count), from: owner)
            return panel
        }
        let shared = places[turn % places.count].reshaped(rows, columns)
        turn += 1
        if let panel { shared.assign(panel) }
        try nodes.broadcastToNodes(UnsafeMutableBufferPointer(start: shared.base, count: shared.count), from: owner)
        return shared
    }
}
