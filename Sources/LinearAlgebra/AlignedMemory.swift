// The memory of matrices.

internal import Glibc

/// Memory aligned to a cache line, given back with its last owner.
final class AlignedMemory: @unchecked Sendable {
    static let alignment = 64

    private enum Source {
        case heap
        /// A large piece of so many bytes.
        case piece(Int)
        case triangle(MemoryPool.TriangleShape)
        /// Pages that other processes see, too: what of them is used, and who holds them.
        case shared(Int, any AnyObject & Sendable)
    }

    let base: UnsafeMutableRawPointer
    private let source: Source

    /// - Parameter leastPiece: bytes from which on it is a piece.
    init(byteCount: Int, leastPiece: Int = MemoryPool.leastPiece) {
        if byteCount >= leastPiece {
            base = MemoryPool.matrices.take(byteCount).base
            source = .piece(byteCount)
        } else {
            base = Self.heap(byteCount)
            source = .heap
        }
    }

    /// Zeros.
    init(zeroedByteCount byteCount: Int) {
        if byteCount >= MemoryPool.leastPiece {
            let (base, isZero) = MemoryPool.matrices.take(byteCount)
            if !isZero { memset(base, 0, byteCount) }
            self.base = base
            source = .piece(byteCount)
        } else {
            base = Self.heap(byteCount)
            source = .heap
            memset(base, 0, byteCount)
        }
    }

    /// A large triangle: zeros below its diagonal.
    init(_ shape: MemoryPool.TriangleShape) {
        base = MemoryPool.matrices.takeTriangle(shape)
        source = .triangle(shape)
    }

    /// Pages that other processes see, too. They count as pieces while they are in use.
    init(_ base: UnsafeMutableRawPointer, usedByteCount: Int, owner: any AnyObject & Sendable) {
        self.base = base
        source = .shared(usedByteCount, owner)
        MemoryPool.matrices.note(outside: usedByteCount)
    }

    private static func heap(_ byteCount: Int) -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        var status = posix_memalign(&address, alignment, max(byteCount, 1))
        if status != 0 {
            // What waits may be all that is missing.
            MemoryPool.matrices.giveBack()
            status = posix_memalign(&address, alignment, max(byteCount, 1))
        }
        guard status == 0, let address else { MemoryPool.refuse(byteCount, status) }
        return address
    }

    deinit {
        switch source {
        case .heap: free(base)
        case .piece(let byteCount): MemoryPool.matrices.give(base, byteCount)
        case .triangle(let shape): MemoryPool.matrices.giveTriangle(base, shape)
        case .shared(let usedByteCount, _): MemoryPool.matrices.note(outside: -usedByteCount)
        }
    }
}
