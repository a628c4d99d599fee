// Scratch memory of products and for their results: taken and given back, since fresh pages would cost more than many products.

internal import Synchronization

/// Pieces of scratch memory that no product is using.
enum ScratchPool {
    private struct Piece: @unchecked Sendable {
        let memory: AlignedMemory
        let byteCount: Int
    }

    private static let free = Mutex<[Piece]>([])
    /// More than the products that run at once: one for each thread.
    private static let limit = 64

    /// Runs `body` with memory of at least `byteCount` bytes, aligned to a cache line.
    static func withScratch(byteCount: Int, _ body: (AlignedMemory) -> Void) {
        let piece =
            free.withLock { free in
                free.firstIndex { $0.byteCount >= byteCount }.map { free.remove(at: $0) }
            } ?? Piece(memory: AlignedMemory(byteCount: byteCount), byteCount: byteCount)
        withExtendedLifetime(piece) { body(piece.memory) }
        free.withLock { free in
            // The largest are kept: they serve the most products.
            free.append(piece)
            free.sort { $0.byteCount < $1.byteCount }
            if free.count > limit { free.removeFirst() }
        }
    }
}
