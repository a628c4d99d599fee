// Assembling the checkpoint of a job whose tiles are all committed.

internal import Checkpoints
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
public import Reporting
internal import Sharding
internal import Texts

extension Job {
    /// Assembles the checkpoint from the committed tiles.
    public func merge() throws -> SizeReport {
        guard !needsLosses else {
            throw AgreedFailure(
                rank: 0, exitCode: PipelineError.Kind.stopped.rawValue,
                description: "\(work.losses), by which the budget is spent, is missing; run `cleave compress` again to measure it anew")
        }
        let journal = try Journal(work, runIdentity(), plan, world: world)
        let tiles = CommittedTiles(journal.entries, plan, work)
        guard tiles.count == plan.tileCount else {
            throw AgreedFailure(
                rank: 0, exitCode: PipelineError.Kind.stopped.rawValue,
                description: "\(tiles.count) of \(plan.tileCount) tiles are committed in \(work.output); run `cleave compress` again to finish them")
        }
        let identity = try runIdentity()
        let cache = try world.fromCoordinator(exitCode: exitCode) { CacheRecord.read(work, identity, plan) }
        if let missing = plan.cachedAttention.first(where: { cache[$0.block] == nil }) {
            throw AgreedFailure(
                rank: 0, exitCode: PipelineError.Kind.stopped.rawValue,
                description:
                    "\(work.cache), which holds the largest keys and values, has none of \(missing.module); run `cleave compress` again to measure them")
        }
        try measureChannels()
        return try clock.measure(.merge) { () throws in
            // Files take pages, matrices do not; those that are given back now come first, and a virtual machine has not yet lost them to its host.
            MemoryPool.giveBackMatrices()
            return try Merge(
                plan, planHash: planHash, model: model, idsHash: tokens?.hash, sourceFiles: sourceFiles, tiles: tiles, cache: cache,
                work: work, world: world
            ).run()
        }
    }
}
