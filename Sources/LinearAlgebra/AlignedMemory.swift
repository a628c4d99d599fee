// The memory of matrices.

internal import Glibc

/// Memory aligned to a cache line, given back with its last owner.
final class AlignedMemory: @unchecked Sendable {
    static let alignment = 64

    private enum Source {
        case heap
        /// A large piece of so many bytes.
        case piece(Int)
        /// Mapped for this piece alone.
        case mapping(Int)
    }

    let base: UnsafeMutableRawPointer
    private let source: Source

    init(byteCount: Int) {
        if byteCount >= LargeMemory.leastPiece {
            base = LargeMemory.take(byteCount).base
            source = .piece(byteCount)
        } else {
            base = Self.heap(byteCount)
            source = .heap
        }
    }

    /// Zeros. Of a very large piece only the pages that are written to, or next to such, take memory.
    init(zeroedByteCount byteCount: Int) {
        if byteCount >= LargeMemory.leastZeroed {
            base = LargeMemory.map(byteCount)
            source = .mapping(byteCount)
            // A huge page would take memory for much that is never written.
            madvise(base, byteCount, Int32(MADV_NOHUGEPAGE))
        } else if byteCount >= LargeMemory.leastPiece {
            let (base, isZero) = LargeMemory.take(byteCount)
            if !isZero { memset(base, 0, byteCount) }
            self.base = base
            source = .piece(byteCount)
        } else {
            base = Self.heap(byteCount)
            source = .heap
            memset(base, 0, byteCount)
        }
    }

    private static func heap(_ byteCount: Int) -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        let status = posix_memalign(&address, alignment, max(byteCount, 1))
        guard status == 0, let address else { LargeMemory.refuse(byteCount, status) }
        return address
    }

    deinit {
        switch source {
        case .heap: free(base)
        case .piece(let byteCount): LargeMemory.give(base, byteCount)
        case .mapping(let byteCount): LargeMemory.unmap(base, byteCount)
        }
    }
}
