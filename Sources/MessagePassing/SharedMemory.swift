// Memory that the ranks of a node share.

internal import CSharedMemory
internal import Glibc

/// Memory that all ranks of a node see: zeros at first.
///
/// It has a descriptor and no name, so the kernel takes it back with the last process that holds it, however that ends. Shared memory in files of
/// /dev/shm, which MPI's windows are made of, stays behind a killed job, and containers often limit it to 64 MiB.
public final class SharedMemory: @unchecked Sendable {
    public let base: UnsafeMutableRawPointer
    public let byteCount: Int

    /// Collective over the node.
    ///
    /// - Parameters:
    ///   - node: ranks that run on one machine.
    ///   - isReserved: whether what there is no room for is refused now, and not when it is written; else all ranks together take pages as they write them.
    public init(_ node: Communicator, byteCount: Int, isReserved: Bool = true) throws {
        self.byteCount = max(byteCount, 1)
        // The owner's process, descriptor and error.
        var owner: [Int32] = [getpid(), -1, 0]
        var mapped: UnsafeMutableRawPointer?
        if node.isCoordinator {
            owner[1] = CSharedMemory_create("cleave")
            owner[2] = owner[1] < 0 || ftruncate(owner[1], self.byteCount) != 0 ? errno : 0
            if owner[2] == 0 { (mapped, owner[2]) = Self.map(owner[1], self.byteCount) }
            // What cannot be mapped was refused before any of it was taken.
            if owner[2] == 0, isReserved { owner[2] = posix_fallocate(owner[1], 0, self.byteCount) }
        }
        owner = try node.broadcast(owner)
        var failures = [owner[2]]
        if !node.isCoordinator, owner[2] == 0 {
            let descriptor = open("/proc/\(owner[0])/fd/\(owner[1])", O_RDWR | O_CLOEXEC)
            if descriptor < 0 { failures[0] = errno } else { (mapped, failures[0]) = Self.map(descriptor, self.byteCount) }
            if descriptor >= 0 { close(descriptor) }
        }
        // The owner's descriptor is needed until all have opened it.
        try node.allReduceMax(&failures)
        if node.isCoordinator, owner[1] >= 0 { close(owner[1]) }
        guard failures[0] == 0, let mapped else {
            if let mapped { munmap(mapped, self.byteCount) }
            throw SharedMemoryError(byteCount: byteCount, code: failures[0], ranks: node.size)
        }
        base = mapped
    }

    deinit { munmap(base, byteCount) }

    /// The memory of a descriptor, or an error as in errno.
    private static func map(_ descriptor: Int32, _ byteCount: Int) -> (UnsafeMutableRawPointer?, Int32) {
        let mapped = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        return mapped == MAP_FAILED ? (nil, errno) : (mapped, 0)
    }
}

/// Memory that the ranks of a node cannot share; all of them have met it.
public struct SharedMemoryError: Error, CustomStringConvertible {
    public let byteCount: Int
    /// As in errno.
    public let code: Int32
    public let ranks: Int

    public var description: String {
        "the \(ranks) ranks on \(Session.hostName) cannot share \(byteCount) bytes of memory: \(String(cString: strerror(code))); where they may not see each "
            + "other's processes, as in containers of their own, CLEAVE_RANKS_PER_NODE=1 lets each count as a node"
    }
}
