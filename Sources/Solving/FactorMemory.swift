// The memory in which the ranks of a node make a factor together.

internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing

/// What ranks of a node share while they factor; nil where a node has one rank.
struct FactorMemory {
    /// The node's panels in fp64: [rows from the diagonal on, columns of the panel] each.
    let panels: SharedPages?
    /// R: [columns, columns]
    let r: SharedPages?
    /// R in bf16, which nobody writes before R is there.
    let narrowed: SharedMemory?
    /// Two panels in hand, each as long as the longest.
    let inHand: SharedPages?

    /// Collective; memory that a node cannot share is an error of all.
    ///
    /// - Parameters:
    ///   - columns: of the matrix.
    ///   - panels: those of the node, where its ranks share the work on them.
    ///   - isComplete: whether every rank is to have the whole of R.
    ///   - isNarrowed: whether R is used in bf16 as well.
    ///   - precision: what panels in hand are in.
    init(_ nodes: NodeGroups, columns: Int, panels: [(rows: Int, columns: Int)]?, isComplete: Bool, isNarrowed: Bool, precision: UpdatePrecision) throws {
        guard nodes.mostRanks > 1 else {
            (self.panels, r, narrowed, inHand) = (nil, nil, nil, nil)
            return
        }
        (self.panels, r, narrowed, inHand) = try nodes.world.together(exitCode: exitCode) {
            let triangle = MemoryPool.TriangleShape(order: columns, elementByteCount: MemoryLayout<Float>.stride)
            return (
                try panels.flatMap { try nodes.sharedPages(byteCount: SharedPages.byteCount(of: Double.self, $0)) },
                try isComplete ? nodes.sharedPages(byteCount: triangle.byteCount, usedByteCount: triangle.usedByteCount) : nil,
                try isComplete && isNarrowed ? nodes.sharedMemory(byteCount: Factor.narrowedBytes(columns: columns)) : nil,
                try nodes.sharedPages(byteCount: Self.bytesInHand(columns: columns, precision))
            )
        }
    }

    private static func bytesInHand(columns: Int, _ precision: UpdatePrecision) -> Int {
        let shapes = shapesInHand(columns: columns)
        return switch precision {
        case .fp32: SharedPages.byteCount(of: Float.self, shapes)
        case .fp64: SharedPages.byteCount(of: Double.self, shapes)
        }
    }

    /// Of the panels in hand.
    static func shapesInHand(columns: Int) -> [(rows: Int, columns: Int)] {
        Array(repeating: (rows: 1, columns: columns * min(choleskyTileSize, columns)), count: 2)
    }
}

extension NodeGroups {
    /// Memory for what the ranks of a node make together, zeros at first; nil on a node of one rank. Collective over the node, whose ranks meet an error
    /// together.
    func sharedMemory(byteCount: Int) throws -> SharedMemory? {
        own.size > 1 ? try SharedMemory(own, byteCount: byteCount, isReserved: false) : nil
    }

    /// The same as pages of matrices.
    ///
    /// - Parameter usedByteCount: what of the memory is ever written; nil: all.
    func sharedPages(byteCount: Int, usedByteCount: Int? = nil) throws -> SharedPages? {
        try sharedMemory(byteCount: byteCount).map { pages(of: $0, usedByteCount: usedByteCount) }
    }

    func pages(of memory: SharedMemory, usedByteCount: Int? = nil) -> SharedPages {
        SharedPages(memory.base, byteCount: memory.byteCount, usedByteCount: usedByteCount, place: (own.rank, own.size), owner: memory)
    }
}
