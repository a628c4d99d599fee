// Compressing every linear of a job.

internal import Checkpoints
internal import LinearAlgebra
internal import MessagePassing
internal import Models
public import Reporting
public import Sharding

extension Job {
    /// Compresses every linear; the tiles are committed when this returns.
    ///
    /// - Parameters:
    ///   - memory: what is kept in memory; nil: everything.
    ///   - scratch: a directory for activations where the plan does not keep them in memory.
    ///   - part: of the run that this is.
    ///   - started: is told what was found of earlier attempts.
    /// - Throws: an `AgreedFailure` with exit code 75 when `stop` asked for it; the stages that are done are committed then.
    public func compress(
        stop: StopConditions, memory: MemoryPlan? = nil, scratch: String?, part: RunEvent.Part = .compress, _ started: (String?) -> Void
    ) throws -> CompressionOutcome {
        clock.begin(part)
        ProductCache.keep(ProductCache.usual + plan.columnLoopShapes)
        try measureChannels()
        let memory = try memory ?? plan.memoryPlan(ranks: world.size, threads: 1, limit: .none, keepsActivations: scratch == nil, tensorParallel: 1)
        let run = try CompressionRun(self, runIdentity(), stop: stop, memory: memory, scratch: memory.keepsActivations ? nil : scratch ?? work.path)
        started(run.resumption)
        return try run.run()
    }

    /// Measures by how much the channels of `equalize` are scaled, where that was not done yet. Collective, and needed before a number of the model is read.
    public func measureChannels() throws { try clock.measure(.read) { () throws in try model.measureChannels(world: world) } }
}
