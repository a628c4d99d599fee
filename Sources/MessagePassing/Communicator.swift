// A group of ranks and what they do together.

internal import CMPI
internal import Synchronization

/// A group of ranks. Every method that is not a property is collective: all ranks of the group call it in the same order.
///
/// Counts are 64-bit; messages beyond MPI's 32-bit counts are sent in pieces.
public final class Communicator: Sendable {
    /// This process's number in the group, from 0.
    public let rank: Int
    /// The number of ranks in the group.
    public let size: Int
    nonisolated(unsafe) let handle: MPI_Comm
    private let sent: Counter

    /// Elements of one MPI call; MPI counts in 32 bits.
    private let pieceElements: Int

    /// - Parameter sent: where the group counts its bytes; nil: in a counter of its own.
    init(_ handle: MPI_Comm, pieceElements: Int = 1 << 28, sent: Counter? = nil) throws(MPIError) {
        self.handle = handle
        self.sent = sent ?? Counter()
        self.pieceElements = pieceElements
        var (rank, size) = (Int32(0), Int32(0))
        try check("MPI_Comm_rank", MPI_Comm_rank(handle, &rank))
        try check("MPI_Comm_size", MPI_Comm_size(handle, &size))
        self.rank = Int(rank)
        self.size = Int(size)
    }

    /// A group of this process alone: it sends nothing, so MPI need not have been started.
    private init(sent: Counter) {
        handle = CMPI_COMM_WORLD()
        self.sent = sent
        pieceElements = 1 << 28
        (rank, size) = (0, 1)
    }

    /// The world of a process that does its work without MPI.
    public static func alone() -> Communicator { Communicator(sent: Counter()) }

    /// The same group with messages in pieces of so many elements: cutting can then be tested on small messages.
    package func cutting(every pieceElements: Int) throws(MPIError) -> Communicator {
        precondition(pieceElements > 0 && pieceElements <= Int(Int32.max), "pieces of \(pieceElements) elements")
        guard size > 1 else { return .alone() }
        return try Communicator(handle, pieceElements: pieceElements)
    }

    /// The rank that reads metadata, broadcasts it, and prints.
    public var isCoordinator: Bool { rank == 0 }

    /// Bytes that this rank has put into messages of this group: the payload it contributed, once, whatever route MPI takes.
    /// Those of the groups that `split` made of it are counted with them.
    public var bytesSent: Int { sent.bytes.load(ordering: .relaxed) }

    public func barrier() throws(MPIError) {
        guard size > 1 else { return }
        try check("MPI_Barrier", MPI_Barrier(handle))
    }

    /// The ranks that share memory with this one.
    public func splitByNode() throws(MPIError) -> Communicator {
        guard size > 1 else { return .alone() }
        var code: Int32 = 0
        let node: MPI_Comm = CMPI_split_by_node(handle, &code)
        try check("MPI_Comm_split_type", code)
        return try Communicator(node)
    }

    /// The ranks with the same `part` as this one, in the order of this group.
    public func split(part: Int) throws(MPIError) -> Communicator {
        guard size > 1 else { return Communicator(sent: sent) }
        var code: Int32 = 0
        let group: MPI_Comm = CMPI_split(handle, Int32(part), &code)
        try check("MPI_Comm_split", code)
        return try Communicator(group, pieceElements: pieceElements, sent: sent)
    }

    // MARK: - Reductions

    /// Replaces each value by its largest over the ranks.
    public func allReduceMax<E: MPIElement>(_ values: inout [E]) throws(MPIError) {
        try allReduce(&values, CMPI_MAX())
    }

    /// Replaces each value by its sum over the ranks; exact for integers, and for floats whose additions do not round.
    public func allReduceSum<E: MPIElement>(_ values: inout [E]) throws(MPIError) {
        try allReduce(&values, CMPI_SUM())
    }

    private func allReduce<E: MPIElement>(_ values: inout [E], _ operation: MPI_Op) throws(MPIError) {
        guard size > 1, !values.isEmpty else { return }
        count(bytes: values.count * MemoryLayout<E>.stride)
        let code = values.withUnsafeMutableBufferPointer { buffer in
            inPieces(buffer.count) { offset, count in
                MPI_Allreduce(CMPI_IN_PLACE(), buffer.baseAddress! + offset, count, E.datatype.handle, operation, handle)
            }
        }
        try check("MPI_Allreduce", code)
    }

    /// Adds the ranks' buffers of the same length into the buffer of rank `root`; the others' buffers keep their values.
    public func reduceSum<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, to root: Int) throws(MPIError) {
        guard size > 1, let base = buffer.baseAddress else { return }
        if rank != root { count(bytes: buffer.count * MemoryLayout<E>.stride) }
        let code = inPieces(buffer.count) { offset, count in
            CMPI_reduce_in_place(base + offset, count, E.datatype.handle, CMPI_SUM(), Int32(root), Int32(rank), handle)
        }
        try check("MPI_Reduce", code)
    }

    // MARK: - Pieces

    func count(bytes: Int) {
        sent.bytes.wrappingAdd(bytes, ordering: .relaxed)
    }

    /// Calls `body(offset, count)` for consecutive pieces of `total` elements until one fails.
    func inPieces(_ total: Int, _ body: (Int, Int32) -> Int32) -> Int32 {
        var offset = 0
        while offset < total {
            let count = min(pieceElements, total - offset)
            let code = body(offset, Int32(count))
            guard code == MPI_SUCCESS else { return code }
            offset += count
        }
        return MPI_SUCCESS
    }
}

/// Bytes sent, counted by a group and those made of it.
final class Counter: Sendable {
    let bytes = Atomic<Int>(0)
}
