// The memory of matrices.

internal import Glibc

/// Memory aligned to a cache line, given back with its last owner.
final class AlignedMemory: @unchecked Sendable {
    static let alignment = 64

    private enum Source {
        case heap
        /// A large piece of so many bytes.
        case piece(Int)
        /// Zeros, of which some bytes are used.
        case zeros(Int, used: Int)
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
    /// - Parameter used: bytes that will be written to.
    init(zeroedByteCount byteCount: Int, used: Int) {
        if byteCount >= LargeMemory.leastZeroed {
            base = LargeMemory.takeZeros(byteCount, used: used)
            source = .zeros(byteCount, used: used)
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
        case .zeros(let byteCount, let used): LargeMemory.giveZeros(base, byteCount, used: used)
        }
    }
}
