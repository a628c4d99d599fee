// How many ranks may run a stage's forward pass together.

/// The sizes of tensor-parallel groups: consecutive ranks of one node.
public enum TensorParallel {
    /// The most that a plan chooses by itself: beyond that many, grouped attention often has no more heads to share.
    static let most = 8

    /// The sizes that a plan may choose, from 1 on.
    ///
    /// - Parameter nodes: of each rank; nil where they are not known.
    static func sizes(ranks: Int, nodes: [Int]?) -> [Int] {
        (1...min(ranks, most)).filter { size in (try? check(size, ranks: ranks, nodes: nodes)) != nil }
    }

    /// Checks a size that a user has chosen.
    public static func check(_ size: Int, ranks: Int, nodes: [Int]?) throws(TensorParallelError) {
        guard size >= 1, ranks % size == 0 else { throw .noDivisor(size: size, ranks: ranks) }
        guard let nodes else { return }
        for first in stride(from: 0, to: ranks, by: size) {
            if let apart = (first..<first + size).first(where: { nodes[$0] != nodes[first] }) {
                throw .severalNodes(size: size, first: first, apart: apart)
            }
        }
    }
}

/// A number of ranks that cannot share a stage.
public enum TensorParallelError: Error, CustomStringConvertible {
    case noDivisor(size: Int, ranks: Int)
    case severalNodes(size: Int, first: Int, apart: Int)

    public var description: String {
        switch self {
        case .noDivisor(let size, let ranks):
            "tensor parallel \(size): groups of equal size are needed, so a divisor of the \(ranks) ranks "
                + "(\((1...ranks).filter { ranks % $0 == 0 }.map(String.init).joined(separator: ", ")))"
        case .severalNodes(let size, let first, let apart):
            "tensor parallel \(size): rank \(first) and rank \(apart) would share a stage but are on two nodes; use a size that divides the ranks of each node, "
                + "and place consecutive ranks on the same node (`run_mpi.sh` does)"
        }
    }
}
