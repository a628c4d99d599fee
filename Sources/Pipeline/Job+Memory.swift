// What a job keeps in memory.

public import Sharding
internal import MessagePassing
internal import Reporting

extension Job {
    /// Picks what is kept in memory on the ranks of this world, under a limit if there is one; collective.
    ///
    /// - Parameters:
    ///   - limit: bytes of a rank.
    ///   - activations: their place, when the user has chosen it.
    ///   - tensorParallel: ranks that share a stage's forward pass, when the user has chosen their number.
    ///   - windows: of the recipe's evaluation.
    /// - Throws: an `AgreedFailure` that says what would fit.
    public func memoryPlan(threads: Int, limit: Int?, activations: ActivationPlace?, tensorParallel: Int?, windows: Int?) throws -> MemoryPlan {
        // What every process holds already, and what its libraries will take as they are used.
        var held = [residentBytes()]
        try world.allReduceMax(&held)
        let base = held[0] + Plan.libraryBytes(threads: threads, ranks: world.size)
        let nodes = try world.nodes()
        return try world.agreed {
            if let tensorParallel { try TensorParallel.check(tensorParallel, ranks: world.size, nodes: nodes) }
            return try plan.memoryPlan(
                ranks: world.size, threads: threads, base: base, limit: limit, keepsActivations: activations.map { $0 == .memory },
                tensorParallel: tensorParallel, nodes: nodes, windows: windows)
        }
    }
}
