// Pages of memory, from the system and back to it.

internal import Glibc

enum Pages {
    static let size = Int(getpagesize())
    private static let hugeSize = 2 << 20

    /// Bytes of the whole pages that hold so many.
    static func rounded(_ byteCount: Int) -> Int { (byteCount + size - 1) / size * size }
    /// Bytes of the whole huge pages that hold so many.
    static func roundedHuge(_ byteCount: Int) -> Int { (byteCount + hugeSize - 1) / hugeSize * hugeSize }

    /// Fresh zeros; nil where the system has no more.
    /// - Parameter isHuge: whether the system may put huge pages there, which products miss less often in the translation buffer.
    static func mapped(_ byteCount: Int, isHuge: Bool = true) -> UnsafeMutableRawPointer? {
        guard let base = map(byteCount, at: nil) else { return nil }
        // Kernels without huge pages answer with an error, which changes nothing.
        madvise(base, byteCount, Int32(isHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
        return base
    }

    /// A range enlarged to so many bytes by fresh pages below or above it; nil where those addresses are taken.
    static func mapped(_ byteCount: Int, around range: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawPointer? {
        guard let start = range.baseAddress else { return nil }
        let missing = byteCount - range.count
        let fresh = map(missing, at: start - missing) ?? map(missing, at: start + range.count)
        guard let fresh else { return nil }
        madvise(fresh, missing, Int32(MADV_HUGEPAGE))
        return min(fresh, start)
    }

    static func unmap(_ range: UnsafeMutableRawBufferPointer) { munmap(range.baseAddress, range.count) }

    /// - Parameter address: where the pages have to lie, if anything.
    private static func map(_ byteCount: Int, at address: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        let place = address == nil ? 0 : MAP_FIXED_NOREPLACE
        let mapped = mmap(address, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | place, -1, 0)
        guard let mapped, mapped != MAP_FAILED else { return nil }
        // A kernel that does not know the flag takes the address as advice.
        guard address == nil || mapped == address else {
            munmap(mapped, byteCount)
            return nil
        }
        return mapped
    }
}
