// Large pieces of memory, kept when they are freed as far as the plan leaves room for them.

internal import CMalloc
internal import Glibc
internal import Synchronization

/// Pieces of whole pages. What is freed waits for its next use, joined with its neighbours, and is cut to whatever size is asked for.
///
/// A fresh page costs a fault and its zeros, several times as much as the arithmetic that many matrices are made for. Pieces in use and waiting memory
/// together stay below a limit: beyond it waiting memory goes back to the system, so that fragments never add up to more than the plan has said.
public final class MemoryPool: Sendable {
    /// That of all large matrices.
    static let matrices = MemoryPool(limit: 256 << 20)

    /// From this size on matrices are pieces; smaller ones come from the heap, which others of a few hundred KiB would tear, block after block, until
    /// what is free between them outweighs what is in use.
    static let leastPiece = 128 << 10
    /// From this size on triangles take memory only where they are written.
    static let leastTriangle = 64 << 20

    private struct State {
        /// Bytes that pieces and waiting memory may take.
        var limit: Int
        var used = 0
        var waiting = FreeRanges()
        /// Triangles that wait, the smallest first.
        var triangles: [Triangle] = []

        var waitingByteCount: Int { waiting.byteCount + triangles.reduce(0) { $0 + $1.shape.usedByteCount } }
    }

    /// The shape of a square matrix of which elements on and above the diagonal are written.
    package struct TriangleShape: Equatable, Sendable {
        let order: Int
        let elementByteCount: Int
        /// The most bytes that it takes: from the diagonal on, to whole pages in each row; where it is too small to be a triangle, everything.
        package let usedByteCount: Int

        package init(order: Int, elementByteCount: Int) {
            (self.order, self.elementByteCount) = (order, elementByteCount)
            let all = order * order * elementByteCount
            let rows = order * (order + 1) / 2 * elementByteCount + order * Pages.size
            usedByteCount = all < MemoryPool.leastTriangle ? all : min(all, rows)
        }

        package var byteCount: Int { order * order * elementByteCount }
    }

    private struct Triangle: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        let shape: TriangleShape
    }

    private let state: Mutex<State>
    private static let ending = Mutex<@Sendable (String) -> Never>({ fatalError($0) })

    /// Says how the process ends where the system has no more memory for a matrix.
    public static func whenRefused(_ end: @escaping @Sendable (_ reason: String) -> Never) { ending.withLock { $0 = end } }

    /// Ends the process: nothing can be computed without the memory, and what is committed is on disk.
    static func refuse(_ byteCount: Int, _ code: Int32) -> Never {
        ending.withLock { $0 }("cannot allocate \(byteCount) bytes of memory: \(String(cString: strerror(code)))")
    }

    package init(limit: Int) { state = Mutex(State(limit: limit)) }

    /// Says how many bytes large matrices may take in all, waiting ones included.
    public static func keepMatrices(upTo bytes: Int) {
        // One heap of small ones for all threads: each of several would keep its own.
        mallopt(M_ARENA_MAX, 1)
        giveBackHeap()
        matrices.keep(upTo: bytes)
    }

    /// Gives back all that waits for large matrices.
    public static func giveBackMatrices() { matrices.giveBack() }

    /// Gives back the pages of the heap on which nothing lies. The C library itself lets go of no more than the heap's end: lists of a whole model's linears that
    /// were made for a moment would stay below what has come after them.
    public static func giveBackHeap() { _ = malloc_trim(0) }

    package func keep(upTo bytes: Int) {
        state.withLock { state in
            state.limit = bytes
            Self.makeRoom(&state)
        }
    }

    /// Gives all that waits back.
    func giveBack() { state.withLock { Self.makeRoom(&$0, limit: 0) } }

    /// Bytes that a piece of so many takes.
    public static func pieceBytes(_ byteCount: Int) -> Int { Pages.rounded(byteCount) }

    /// Bytes of pieces, and bytes that wait.
    package var bytes: (used: Int, waiting: Int) { state.withLock { ($0.used, $0.waitingByteCount) } }

    /// A piece of so many bytes, and whether it is known to hold zeros.
    package func take(_ byteCount: Int) -> (base: UnsafeMutableRawPointer, isZero: Bool) {
        let byteCount = Pages.rounded(byteCount)
        return state.withLock { state in
            state.used += byteCount
            if let range = state.waiting.take(byteCount) { return (range, false) }
            // The largest of what waits is enlarged where the addresses beside it are free: only the rest of the piece is fresh.
            if let largest = state.waiting.removeLargest() {
                Self.makeRoom(&state)
                if let base = Pages.mapped(byteCount, around: largest) { return (base, false) }
                state.waiting.insert(largest)
            }
            return (Self.mapped(byteCount, &state), true)
        }
    }

    package func give(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
        let byteCount = Pages.rounded(byteCount)
        state.withLock { state in
            state.used -= byteCount
            state.waiting.insert(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
            Self.makeRoom(&state)
        }
    }

    /// Counts memory that is not the pool's own, so that waiting memory makes room for it.
    func note(outside byteCount: Int) {
        state.withLock { state in
            state.used += byteCount
            Self.makeRoom(&state)
        }
    }

    /// Memory of a triangle: zeros, but for what triangles of its shape write, which is never below the diagonal.
    package func takeTriangle(_ shape: TriangleShape) -> UnsafeMutableRawPointer {
        state.withLock { state in
            state.used += shape.usedByteCount
            if let index = state.triangles.lastIndex(where: { $0.shape == shape }) { return state.triangles.remove(at: index).base }
            // A huge page would take memory for much that is never written.
            return Self.mapped(shape.byteCount, isHuge: false, &state)
        }
    }

    package func giveTriangle(_ base: UnsafeMutableRawPointer, _ shape: TriangleShape) {
        state.withLock { state in
            state.used -= shape.usedByteCount
            let index = state.triangles.firstIndex { $0.shape.byteCount > shape.byteCount } ?? state.triangles.count
            state.triangles.insert(Triangle(base: base, shape: shape), at: index)
            Self.makeRoom(&state)
        }
    }

    /// Fresh zeros, for which waiting memory makes room: below the limit, and all of it where the system has no more. Limits that the system sets count a
    /// triangle's addresses, the plan only what is written.
    private static func mapped(_ byteCount: Int, isHuge: Bool = true, _ state: inout State) -> UnsafeMutableRawPointer {
        makeRoom(&state)
        if let base = Pages.mapped(byteCount, isHuge: isHuge) { return base }
        makeRoom(&state, limit: 0)
        guard let base = Pages.mapped(byteCount, isHuge: isHuge) else { MemoryPool.refuse(byteCount, errno) }
        return base
    }

    /// Gives waiting memory back: of pieces no more than has to go, then triangles, which serve none but their like: the smallest that is enough.
    private static func makeRoom(_ state: inout State, limit: Int? = nil) {
        var excess: Int { state.used + state.waitingByteCount - (limit ?? state.limit) }
        while excess > 0, let range = state.waiting.removeFromLargest(upTo: Pages.roundedHuge(excess)) { Pages.unmap(range) }
        while excess > 0, !state.triangles.isEmpty {
            let triangle = state.triangles.remove(at: state.triangles.firstIndex { $0.shape.usedByteCount >= excess } ?? state.triangles.count - 1)
            Pages.unmap(UnsafeMutableRawBufferPointer(start: triangle.base, count: Pages.rounded(triangle.shape.byteCount)))
        }
    }
}
