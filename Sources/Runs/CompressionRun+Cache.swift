// The largest keys and values of a run's attention, from which the scales of a server's cache follow.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import MessagePassing
internal import Models
internal import Reporting
internal import Sharding
internal import Transformers

extension CompressionRun {
    /// The attention of a block that is still to be measured.
    func unmeasuredAttention(_ block: Int) -> CachedAttention? {
        cache[block] == nil ? plan.cachedAttention.first { $0.block == block } : nil
    }

    /// The attention that a stage is, where its keys and values are still to be measured.
    func attention(_ block: Int, _ stage: Int) -> CachedAttention? {
        unmeasuredAttention(block).flatMap { $0.stage == stage ? $0 : nil }
    }

    /// Takes in what the ranks have seen of a block's keys and values while its batches passed. Collective.
    func note(_ attention: CachedAttention, _ seen: CacheMagnitudes) throws {
        var magnitudes = seen.magnitudes
        try world.allReduceMax(&magnitudes)
        guard magnitudes.allSatisfy(\.isFinite) else { throw AgreedFailure.notFinite(input: "\(attention.module) (its keys and values)") }
        cache[attention.block] = magnitudes
        cacheIsSaved = false
    }

    /// Makes durable what was measured since the last time. Collective.
    func commitCache() throws {
        guard !cacheIsSaved else { return }
        try world.onCoordinator(exitCode: exitCode) {
            try source?.checkUnchanged(in: sourcePath)
            try clock.measure(.commit) { () throws in try cache.save(work) }
        }
        cacheIsSaved = true
    }
}

extension Plan {
    /// The stage to which batches must go for what is still to be measured; nil when nothing is.
    func lastStageToMeasure(_ cache: CacheRecord) -> (block: Int, stage: Int)? {
        // Keys and values are seen where the batches leave their stage, for the one behind it.
        cachedAttention.last { cache[$0.block] == nil }.map { ($0.block, $0.stage + 1) }
    }
}
