// Large pieces of memory, kept when they are freed as far as the plan leaves room for them.

internal import CMalloc
internal import Glibc
internal import Synchronization

/// Pieces of a mebibyte and more, each mapped by itself, so that none lies in the way of another.
///
/// A fresh page costs a fault and its zeros, and the same sizes are needed again and again: what is freed waits for its next use. Pieces in use and waiting
/// ones together stay below what the plan leaves to matrices; beyond it waiting ones go back to the system.
public enum LargeMemory {
    /// From this size on matrices are pieces; smaller ones come from the heap.
    static let leastPiece = 1 << 20
    /// From this size on matrices of zeros come from the kernel and go back to it, so that what is never written takes no memory.
    public static let leastZeroed = 64 << 20
    private static let hugePage = 2 << 20

    private struct Pieces: @unchecked Sendable {
        /// Bytes that pieces may take before waiting ones are given back.
        var limit = 256 << 20
        var used = 0
        var waiting = 0
        /// By bytes of a piece.
        var free: [Int: [UnsafeMutableRawPointer]] = [:]
    }

    private static let pieces = Mutex(Pieces())

    /// Says how many bytes matrices may take in all, waiting ones included.
    public static func keep(upTo bytes: Int) {
        // One heap for all threads: each of several would keep its own.
        mallopt(M_ARENA_MAX, 1)
        pieces.withLock { pieces in
            pieces.limit = bytes
            makeRoom(&pieces)
        }
    }

    /// A piece, and whether it is known to hold zeros.
    static func take(_ byteCount: Int) -> (base: UnsafeMutableRawPointer, isZero: Bool) {
        let waiting = pieces.withLock { pieces -> UnsafeMutableRawPointer? in
            pieces.used += byteCount
            if let base = pieces.free[byteCount]?.popLast() {
                pieces.waiting -= byteCount
                return base
            }
            makeRoom(&pieces)
            return nil
        }
        if let waiting { return (waiting, false) }
        let base = mapped(byteCount)
        adviseHugePages(base, byteCount)
        return (base, true)
    }

    static func give(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
        let isKept = pieces.withLock { pieces in
            pieces.used -= byteCount
            guard pieces.used + pieces.waiting + byteCount <= pieces.limit else { return false }
            pieces.waiting += byteCount
            pieces.free[byteCount, default: []].append(base)
            return true
        }
        if !isKept { munmap(base, byteCount) }
    }

    /// Zeros that take memory page by page as they are touched.
    /// - Parameter used: bytes of it that will be.
    static func takeZeros(_ byteCount: Int, used: Int) -> UnsafeMutableRawPointer {
        pieces.withLock { pieces in
            pieces.used += used
            makeRoom(&pieces)
        }
        let base = mapped(byteCount)
        // A huge page would take memory for much that is never written.
        madvise(base, byteCount, Int32(MADV_NOHUGEPAGE))
        return base
    }

    static func giveZeros(_ base: UnsafeMutableRawPointer, _ byteCount: Int, used: Int) {
        pieces.withLock { $0.used -= used }
        munmap(base, byteCount)
    }

    /// Gives waiting pieces back, the largest first, until all fit.
    private static func makeRoom(_ pieces: inout Pieces) {
        while pieces.used + pieces.waiting > pieces.limit, let size = pieces.free.keys.max() {
            guard let base = pieces.free[size]?.popLast() else {
                pieces.free[size] = nil
                continue
            }
            munmap(base, size)
            pieces.waiting -= size
        }
    }

    private static func mapped(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else { refuse(byteCount, errno) }
        return address
    }

    static func refuse(_ byteCount: Int, _ code: Int32) -> Never {
        fatalError("cannot allocate \(byteCount) bytes of memory: \(String(cString: strerror(code)))")
    }

    /// Asks for huge pages, which products miss less often in the translation buffer; only where a whole one fits.
    private static func adviseHugePages(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
        let (start, end) = (base.alignedUp(toMultipleOf: hugePage), (base + byteCount).alignedDown(toMultipleOf: hugePage))
        // Kernels without them answer with an error, which changes nothing.
        if start < end { madvise(start, end - start, Int32(MADV_HUGEPAGE)) }
    }
}
