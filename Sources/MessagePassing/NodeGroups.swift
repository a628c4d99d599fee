// The ranks of a world by their nodes, and what they tell each other so that each node hears it once.

/// A world in two steps: the ranks of a node, which share memory, and groups of one rank of each node, between which messages travel.
///
/// A rank's place is its number on its node. What comes from, or goes to, a rank at a place travels between the ranks at that place of all nodes (a node with
/// fewer ranks sends its last), so that all ranks of a node have messages to carry. Between two nodes one plain message does it: a collective would cut it into
/// segments, each of which waits for an answer.
public final class NodeGroups: Sendable {
    public let world: Communicator
    /// The ranks of this rank's node.
    public let own: Communicator
    /// The number of nodes.
    public let count: Int
    /// The most ranks of a node.
    public let mostRanks: Int
    /// Of each rank: its node, numbered from 0, and its place there.
    private let nodes: [Int]
    private let places: [Int]
    /// By place; nil where another rank of this node is the one.
    private let across: [Communicator?]
    /// The ranks of each node.
    private let ranks: [[Int]]

    /// Collective.
    public init(_ world: Communicator) throws(MPIError) {
        self.world = world
        own = try world.splitByNode()
        var (ranks, nodes, places) = ([[Int]](), [Int](), [Int]())
        var numbers: [Int: Int] = [:]
        for (rank, name) in world.nodes.enumerated() {
            let node = numbers[name] ?? ranks.count
            if node == ranks.count { ranks.append([]) }
            numbers[name] = node
            nodes.append(node)
            places.append(ranks[node].count)
            ranks[node].append(rank)
        }
        (self.ranks, self.nodes, self.places) = (ranks, nodes, places)
        count = ranks.count
        mostRanks = ranks.map(\.count).max() ?? 1
        var across: [Communicator?] = []
        // On one node no message leaves it.
        for place in 0..<(ranks.count > 1 ? mostRanks : 0) {
            let node = ranks[nodes[world.rank]]
            across.append(try world.select(node[min(place, node.count - 1)] == world.rank))
        }
        self.across = across
    }

    /// Whether a rank is on this rank's node.
    public func isNear(_ rank: Int) -> Bool { nodes[rank] == nodes[world.rank] }

    /// The rank of each node that carries what comes from, or goes to, a rank.
    private func carriers(of rank: Int) -> [Int] { ranks.map { $0[min(places[rank], $0.count - 1)] } }

    /// The group of carriers with the number of that rank in it; nil on ranks that carry nothing.
    private func carrying(_ rank: Int) -> (group: Communicator, root: Int)? {
        guard count > 1, let group = across[places[rank]] else { return nil }
        return (group, carriers(of: rank).count { $0 < rank })
    }

    /// Copies the buffer of rank `root` into the others' buffers of the same length: to one rank of each node, and from there to the others. Collective.
    public func broadcast<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from root: Int) throws(MPIError) {
        let sending = try beginCopy(buffer, from: root)
        try own.broadcast(buffer, from: places[carrier(of: root)])
        try sending?.finish()
    }

    /// A copy on its way to all nodes.
    public struct PendingCopy {
        fileprivate let own: Communicator
        /// nil on ranks that carry nothing.
        fileprivate let call: BackgroundCall?

        /// Ends it: all ranks of the node may read the buffer. Collective.
        public func finish() throws(MPIError) {
            try call?.finish()
            try own.barrier()
        }
    }

    /// Begins to copy a buffer that the ranks of each node share, from the node of rank `root`, which has filled it, to the others. Until the copy is finished
    /// no rank of the node calls MPI. Collective.
    public func beginCopyToNodes<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from root: Int) -> PendingCopy {
        guard carrying(root) != nil else { return PendingCopy(own: own, call: nil) }
        nonisolated(unsafe) let buffer = buffer
        return PendingCopy(own: own, call: BackgroundCall { [self] () throws(MPIError) in try beginCopy(buffer, from: root)?.finish() })
    }

    /// The rank of this node that carries what comes from, or goes to, a rank.
    private func carrier(of rank: Int) -> Int { carriers(of: rank)[nodes[world.rank]] }

    /// Copies the buffer of rank `root` into that of one rank of each node; what is still being sent is to be finished.
    private func beginCopy<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from root: Int) throws(MPIError) -> Transfer? {
        var sending: Transfer?
        if let (group, root) = carrying(root) {
            if group.size > 2 {
                try group.broadcast(buffer, from: root)
            } else if group.rank == root {
                // The ranks of this node need not wait for the other one.
                sending = try group.beginSend(buffer, to: 1 - root)
            } else {
                try group.receive(buffer, from: root)
            }
        }
        return sending
    }

    /// A sum of one buffer of each node that is on its way to a rank.
    struct PendingSum {
        fileprivate let buffer: UnsafeMutableBufferPointer<Double>
        fileprivate var transfer = Transfer()
        /// What comes from the other node.
        fileprivate var other: UnsafeMutableBufferPointer<Double>?

        /// Ends it: the buffer of the rank that the sum goes to holds the sum.
        func finish() throws(MPIError) {
            try transfer.finish()
            guard let other else { return }
            for index in 0..<min(buffer.count, other.count) { buffer[index] += other[index] }
            other.deallocate()
        }
    }

    /// Begins to add one buffer of each node, that of the rank which carries what goes to `root`, into the buffer of rank `root`. Nothing happens on other
    /// ranks.
    func beginSum(_ buffer: UnsafeMutableBufferPointer<Double>, to root: Int) throws(MPIError) -> PendingSum {
        var sum = PendingSum(buffer: buffer)
        guard let (group, root) = carrying(root) else { return sum }
        if group.size > 2 {
            try group.reduceSum(buffer, to: root)
        } else if group.rank == root {
            let other = UnsafeMutableBufferPointer<Double>.allocate(capacity: buffer.count)
            sum.other = other
            sum.transfer = try group.beginReceive(other, from: 1 - root)
        } else {
            sum.transfer = try group.beginSend(buffer, to: root)
        }
        return sum
    }

    /// An order of some buffers in which those beside each other go to different nodes over different ranks, so that all links carry messages in both
    /// directions: the same on every rank, and as many at a time as there are ranks stay together.
    ///
    /// - Parameter owners: the rank that each buffer goes to.
    func alternating(_ owners: [Int]) -> [Int] {
        func key(_ index: Int) -> (Int, Int, Int, Int) {
            let owner = owners[index]
            return (index / world.size, (nodes[owner] - places[owner] + mostRanks * count) % count, places[owner], index)
        }
        return owners.indices.sorted { key($0) < key($1) }
    }
}
