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
    private nonisolated(unsafe) let handle: MPI_Comm
    private let sent = Atomic<Int>(0)

    /// Elements of one MPI call; MPI counts in 32 bits.
    private let pieceElements: Int

    init(_ handle: MPI_Comm, pieceElements: Int = 1 << 28) throws(MPIError) {
        self.handle = handle
        self.pieceElements = pieceElements
        var (rank, size) = (Int32(0), Int32(0))
        try check("MPI_Comm_rank", MPI_Comm_rank(handle, &rank))
        try check("MPI_Comm_size", MPI_Comm_size(handle, &size))
        self.rank = Int(rank)
        self.size = Int(size)
    }

    /// The same group with messages in pieces of so many elements: cutting can then be tested on small messages.
    package func cutting(every pieceElements: Int) throws(MPIError) -> Communicator {
        precondition(pieceElements > 0 && pieceElements <= Int(Int32.max), "pieces of \(pieceElements) elements")
        return try Communicator(handle, pieceElements: pieceElements)
    }

    /// The rank that reads metadata, broadcasts it, and prints.
    public var isCoordinator: Bool { rank == 0 }

    /// Bytes that this rank has put into messages of this group: the payload it contributed, once, whatever route MPI takes.
    public var bytesSent: Int { sent.load(ordering: .relaxed) }

    public func barrier() throws(MPIError) {
        try check("MPI_Barrier", MPI_Barrier(handle))
    }

    /// The ranks that share memory with this one.
    public func splitByNode() throws(MPIError) -> Communicator {
        var code: Int32 = 0
        let node: MPI_Comm = CMPI_split_by_node(handle, &code)
        try check("MPI_Comm_split_type", code)
        return try Communicator(node)
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

    // MARK: - Copies

    /// Copies the buffer of rank `root` into the others' buffers of the same length.
    public func broadcast<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from root: Int = 0) throws(MPIError) {
        guard size > 1, let base = buffer.baseAddress else { return }
        if rank == root { count(bytes: buffer.count * MemoryLayout<E>.stride) }
        let code = inPieces(buffer.count) { offset, count in
            MPI_Bcast(base + offset, count, E.datatype.handle, Int32(root), handle)
        }
        try check("MPI_Bcast", code)
    }

    /// The array of rank `root`, of a length that only `root` needs to know.
    public func broadcast<E: MPIElement>(_ values: [E], from root: Int = 0) throws(MPIError) -> [E] {
        guard size > 1 else { return values }
        var length = [values.count]
        try length.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try broadcast(buffer, from: root) }
        var result = rank == root ? values : [E](unsafeUninitializedCapacity: length[0]) { $1 = length[0] }
        try result.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try broadcast(buffer, from: root) }
        return result
    }

    /// Fills `buffer`, the parts of ranks 0, 1, ... one after the other, on every rank.
    ///
    /// - Parameters:
    ///   - buffer: the same length on every rank; this rank's own part is already in its place.
    ///   - counts: elements of each rank's part.
    public func allGather<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, counts: [Int]) throws(MPIError) {
        precondition(counts.count == size && counts.reduce(0, +) == buffer.count, "parts \(counts) of a buffer of \(buffer.count)")
        guard size > 1, let base = buffer.baseAddress else { return }
        count(bytes: counts[rank] * MemoryLayout<E>.stride)
        var start = 0
        for (owner, length) in counts.enumerated() {
            // One broadcast a part keeps 64-bit displacements and needs no second buffer.
            let code = inPieces(length) { offset, count in
                MPI_Bcast(base + start + offset, count, E.datatype.handle, Int32(owner), handle)
            }
            try check("MPI_Bcast", code)
            start += length
        }
    }

    /// The arrays of all ranks, in their order, on rank `root`; empty elsewhere.
    public func gather<E: MPIElement>(_ values: [E], to root: Int = 0) throws(MPIError) -> [[E]] {
        var lengths = [Int](repeating: 0, count: size)
        lengths[rank] = values.count
        try allReduceSum(&lengths)
        guard size > 1 else { return [values] }
        if rank != root {
            count(bytes: values.count * MemoryLayout<E>.stride)
            let code = values.withUnsafeBufferPointer { buffer in
                inPieces(buffer.count) { offset, count in
                    MPI_Send(buffer.baseAddress! + offset, count, E.datatype.handle, Int32(root), 0, handle)
                }
            }
            try check("MPI_Send", code)
            return []
        }
        var result: [[E]] = []
        for (source, length) in lengths.enumerated() {
            if source == root {
                result.append(values)
                continue
            }
            var received = [E](unsafeUninitializedCapacity: length) { $1 = length }
            let code = received.withUnsafeMutableBufferPointer { buffer in
                inPieces(length) { offset, count in
                    MPI_Recv(buffer.baseAddress! + offset, count, E.datatype.handle, Int32(source), 0, handle, CMPI_STATUS_IGNORE())
                }
            }
            try check("MPI_Recv", code)
            result.append(received)
        }
        return result
    }

    // MARK: - Pieces

    private func count(bytes: Int) {
        sent.wrappingAdd(bytes, ordering: .relaxed)
    }

    /// Calls `body(offset, count)` for consecutive pieces of `total` elements until one fails.
    private func inPieces(_ total: Int, _ body: (Int, Int32) -> Int32) -> Int32 {
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
