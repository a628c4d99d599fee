// The memory of matrices, and what becomes of it when it is freed.

internal import CMalloc
internal import Glibc
internal import Synchronization

/// Memory aligned to a cache line, freed with its last owner.
final class AlignedMemory: @unchecked Sendable {
    static let alignment = 64
    let base: UnsafeMutableRawPointer
    /// Bytes that were mapped for this piece alone; nil when it came from the heap.
    private let mappedBytes: Int?

    init(byteCount: Int) {
        if byteCount >= LargeMemory.leastMapped {
            base = Self.map(byteCount)
            mappedBytes = byteCount
        } else {
            base = Self.heap(byteCount)
            mappedBytes = nil
        }
        LargeMemory.adviseHugePages(base, byteCount)
    }

    /// Zeros. Of a large piece only the pages that are written to, or next to such, take memory.
    init(zeroedByteCount byteCount: Int) {
        if byteCount >= min(LargeMemory.leastZeroed, LargeMemory.leastMapped) {
            base = Self.map(byteCount)
            mappedBytes = byteCount
            // A huge page would take memory for much that is never written.
            madvise(base, byteCount, Int32(MADV_NOHUGEPAGE))
        } else {
            base = Self.heap(byteCount)
            mappedBytes = nil
            memset(base, 0, byteCount)
        }
    }

    private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else {
            fatalError("cannot allocate \(byteCount) bytes of memory: \(String(cString: strerror(errno)))")
        }
        return address
    }

    private static func heap(_ byteCount: Int) -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        let status = posix_memalign(&address, alignment, max(byteCount, 1))
        guard status == 0, let address else {
            fatalError("cannot allocate \(byteCount) bytes of memory: \(String(cString: strerror(status)))")
        }
        return address
    }

    deinit {
        if let mappedBytes { munmap(base, mappedBytes) } else { free(base) }
    }
}

/// What becomes of large pieces of memory; chosen once, before the first of them.
public enum LargeMemory {
    private static let least = Atomic<Int>(.max)
    private static let hugePage = 2 << 20

    static var leastMapped: Int { least.load(ordering: .relaxed) }
    /// From this size on zeros come from the kernel.
    public static let leastZeroed = 64 << 20

    /// What is freed stays in the heap for its next user: a fresh page costs a fault and its zeros, which can be a tenth of the time of a forward pass.
    /// Only large matrices of zeros, few and partly written, still come from the system and go back to it.
    public static func keep() {
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
        // One heap for all threads: each of several would keep its own, and unmap what it has freed.
        mallopt(M_ARENA_MAX, 1)
    }

    /// From now on pieces of a mebibyte and more go back to the system as soon as they are freed, so that what is resident is what is held. It costs more
    /// time than `keep`.
    public static func returnAtOnce() { least.store(1 << 20, ordering: .relaxed) }

    /// Asks for huge pages, which products miss less often in the translation buffer; only where a whole one fits.
    fileprivate static func adviseHugePages(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
        let (start, end) = (base.alignedUp(toMultipleOf: hugePage), (base + byteCount).alignedDown(toMultipleOf: hugePage))
        // Kernels without them answer with an error, which changes nothing.
        if start < end { madvise(start, end - start, Int32(MADV_HUGEPAGE)) }
    }
}
