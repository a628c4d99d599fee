// What a job keeps in memory.

public import Calibration
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Reporting
public import Sharding

extension Job {
    /// What this process holds now. What was freed counts no longer: else a run that looks through its sources, and one that goes on, would begin with
    /// different sizes.
    public static func bytesHeld() -> Int {
        MemoryPool.giveBackHeap()
        return residentBytes()
    }

    /// Picks what is kept in memory on the ranks of this world, under a limit if there is one; collective.
    ///
    /// - Parameters:
    ///   - activations: their place, when the user has chosen it.
    ///   - tensorParallel: ranks that share a stage's forward pass, when the user has chosen their number.
    ///   - windows: of the recipe's evaluation.
    ///   - held: bytes that this rank held before its first work; nil: those that it holds now.
    /// - Throws: an `AgreedFailure` that says what would fit, or that a limit of the system (71) leaves no room for the plan.
    public func memoryPlan(
        threads: Int, limit: MemoryLimit, activations: ActivationPlace?, tensorParallel: Int?, windows: Int?, held: Int? = nil
    ) throws -> MemoryPlan {
        // What every process holds already, and what its libraries will take as they are used.
        var held = [held ?? Self.bytesHeld()]
        try world.allReduceMax(&held)
        let base = held[0] + Plan.libraryBytes(threads: threads, ranks: world.size)
        let memory = try world.agreed {
            if let tensorParallel { try TensorParallel.check(tensorParallel, ranks: world.size, nodes: world.nodes) }
            return try plan.memoryPlan(
                ranks: world.size, threads: threads, base: base, limit: limit, keepsActivations: activations.map { $0 == .memory },
                tensorParallel: tensorParallel, nodes: world.nodes, windows: windows)
        }
        try world.together(exitCode: exitCode) {
            // Triangles take twice the addresses that are written.
            try AddressSpace.require([
                ("\(threads) threads", threads * AddressSpace.bytesOfThread), ("what the plan holds", 2 * max(memory.bound - held[0], 0)),
                ("the mapped weights", model.mappedBytes),
            ])
        }
        return memory
    }
}
