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
    /// The node of each rank of the group, as a number: that of the node's first rank in the world.
    public let nodes: [Int]
    nonisolated(unsafe) let handle: MPI_Comm
    private let sent: Counter

    /// Elements of one MPI call; MPI counts in 32 bits.
    private let pieceElements: Int

    /// Collective over the group.
    ///
    /// - Parameters:
    ///   - node: that of this process.
    ///   - sent: where the group counts its messages.
    init(_ handle: MPI_Comm, node: Int, pieceElements: Int = 1 << 28, sent: Counter = Counter()) throws(MPIError) {
        self.handle = handle
        self.sent = sent
        self.pieceElements = pieceElements
        var (rank, size) = (Int32(0), Int32(0))
        try check("MPI_Comm_rank", MPI_Comm_rank(handle, &rank))
        try check("MPI_Comm_size", MPI_Comm_size(handle, &size))
        self.rank = Int(rank)
        self.size = Int(size)
        var (own, nodes) = (node, [Int](repeating: 0, count: Int(size)))
        let code = MPI_Allgather(&own, 1, Int.datatype.handle, &nodes, 1, Int.datatype.handle, handle)
        try check("MPI_Allgather", code)
        self.nodes = nodes
    }

    /// A group of this process alone: it sends nothing, so MPI need not have been started.
    private init(node: Int, sent: Counter) {
        handle = CMPI_COMM_WORLD()
        self.sent = sent
        pieceElements = 1 << 28
        (rank, size, nodes) = (0, 1, [node])
    }

    /// The world of a process that does its work without MPI.
    public static func alone() -> Communicator { Communicator(node: 0, sent: Counter()) }

    /// The same group with messages in pieces of so many elements: cutting can then be tested on small messages.
    package func cutting(every pieceElements: Int) throws(MPIError) -> Communicator {
        precondition(pieceElements > 0 && pieceElements <= Int(Int32.max), "pieces of \(pieceElements) elements")
        guard size > 1 else { return .alone() }
        return try Communicator(handle, node: nodes[rank], pieceElements: pieceElements)
    }

    /// The same group on other nodes, so that one machine can stand for several.
    /// - Parameter node: the number of each rank's node.
    package func placed(on node: (Int) -> Int) throws(MPIError) -> Communicator {
        guard size > 1 else { return .alone() }
        return try Communicator(handle, node: node(rank), pieceElements: pieceElements)
    }

    /// The rank that reads metadata, broadcasts it, and prints.
    public var isCoordinator: Bool { rank == 0 }

    /// Bytes that this rank has put into messages of this group: the payload it contributed, once, whatever route MPI takes.
    /// Those of the groups that `split` made of it are counted with them.
    public var bytesSent: Int { sent.bytes.load(ordering: .relaxed) }

    /// Of `bytesSent`, what went into messages between nodes: to a rank of another node, or to all of a group that has such ranks.
    public var bytesBetweenNodes: Int { sent.bytesBetweenNodes.load(ordering: .relaxed) }

    /// Such messages to which this rank contributed; one that is sent in pieces counts once.
    public var messagesBetweenNodes: Int { sent.messagesBetweenNodes.load(ordering: .relaxed) }

    public func barrier() throws(MPIError) {
        guard size > 1 else { return }
        try check("MPI_Barrier", MPI_Barrier(handle))
    }

    /// The ranks that share memory with this one.
    public func splitByNode() throws(MPIError) -> Communicator { try split(part: nodes[rank]) }

    /// The ranks with the same `part` as this one, in the order of this group.
    public func split(part: Int) throws(MPIError) -> Communicator {
        guard size > 1 else { return Communicator(node: nodes[rank], sent: sent) }
        var code: Int32 = 0
        let group: MPI_Comm = CMPI_split(handle, Int32(part), &code)
        try check("MPI_Comm_split", code)
        return try Communicator(group, node: nodes[rank], pieceElements: pieceElements, sent: sent)
    }

    /// The ranks that are members, in the order of this group; nil on the others, which call it too.
    func select(_ isMember: Bool) throws(MPIError) -> Communicator? {
        guard size > 1 else { return isMember ? Communicator(node: nodes[rank], sent: sent) : nil }
        var code: Int32 = 0
        let group: MPI_Comm = CMPI_select(handle, isMember ? 1 : 0, &code)
        try check("MPI_Comm_split", code)
        return isMember ? try Communicator(group, node: nodes[rank], pieceElements: pieceElements, sent: sent) : nil
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

    /// Counts a message to which this rank contributed so many bytes.
    ///
    /// - Parameter destination: the rank that it goes to; nil: all.
    func count(bytes: Int, to destination: Int? = nil) {
        sent.bytes.wrappingAdd(bytes, ordering: .relaxed)
        let own = nodes[rank]
        guard destination.map({ nodes[$0] != own }) ?? nodes.contains(where: { $0 != own }) else { return }
        sent.bytesBetweenNodes.wrappingAdd(bytes, ordering: .relaxed)
        sent.messagesBetweenNodes.wrappingAdd(1, ordering: .relaxed)
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

/// Messages sent, counted by a group and those made of it.
final class Counter: Sendable {
    let bytes = Atomic<Int>(0)
    let bytesBetweenNodes = Atomic<Int>(0)
    let messagesBetweenNodes = Atomic<Int>(0)
}
