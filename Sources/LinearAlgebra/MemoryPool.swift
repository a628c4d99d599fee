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
    /// From this size on matrices of zeros come from the kernel and go back to it, so that what is never written takes no memory.
    public static let leastZeroed = 64 << 20

    private struct State {
        /// Bytes that pieces and waiting memory may take.
        var limit: Int
        var used = 0
        var waiting = FreeRanges()
    }

    private let state: Mutex<State>

    package init(limit: Int) { state = Mutex(State(limit: limit)) }

    /// Says how many bytes large matrices may take in all, waiting ones included.
    public static func keepMatrices(upTo bytes: Int) {
        // One heap of small ones for all threads: each of several would keep its own.
        mallopt(M_ARENA_MAX, 1)
        matrices.keep(upTo: bytes)
    }

    package func keep(upTo bytes: Int) {
        state.withLock { state in
            state.limit = bytes
            Self.makeRoom(&state)
        }
    }

    /// Bytes of pieces, and bytes that wait.
    package var bytes: (used: Int, waiting: Int) { state.withLock { ($0.used, $0.waiting.byteCount) } }

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
            Self.makeRoom(&state)
            return (Pages.mapped(byteCount), true)
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

    /// Zeros that take memory page by page as they are touched.
    /// - Parameter used: bytes of it that will be.
    package func takeZeros(_ byteCount: Int, used: Int) -> UnsafeMutableRawPointer {
        state.withLock { state in
            state.used += used
            Self.makeRoom(&state)
        }
        // A huge page would take memory for much that is never written.
        return Pages.mapped(byteCount, isHuge: false)
    }

    package func giveZeros(_ base: UnsafeMutableRawPointer, _ byteCount: Int, used: Int) {
        state.withLock { $0.used -= used }
        Pages.unmap(UnsafeMutableRawBufferPointer(start: base, count: Pages.rounded(byteCount)))
    }

    /// Gives waiting memory back, no more than has to go.
    private static func makeRoom(_ state: inout State) {
        var excess = state.used + state.waiting.byteCount - state.limit
        while excess > 0, let range = state.waiting.removeFromLargest(upTo: Pages.roundedHuge(excess)) {
            Pages.unmap(range)
            excess -= range.count
        }
    }
}
