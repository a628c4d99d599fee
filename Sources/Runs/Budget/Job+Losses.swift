// Measuring the losses by which a budget is spent: a run of its own, inside the work directory of the one that needs them.

internal import Checkpoints
internal import Failures
internal import Foundation
internal import MessagePassing
internal import Models
internal import Recipes
internal import Reporting
public import Sharding

extension Job {
    /// Whether losses must be measured before it is known what this job is to do.
    public var needsLosses: Bool { recipe.budget != nil && budget == nil }

    /// The run that measures them. It keeps its tiles and journals in a directory of its own, and goes on after an interruption as any run.
    public func measuringLosses() throws -> Job {
        try Job(source, output: work.measuring.output, reading: recipe.weights, measuresLosses: true, world: world, clock: clock)
    }

    /// Measures losses and sensitivities, of a job that `measuringLosses` made and that has been entered; the table is durable when this returns.
    ///
    /// - Parameters:
    ///   - run: the job that needs them.
    ///   - started: is told what was found of earlier attempts.
    /// - Throws: an `AgreedFailure` with exit code 75 when `stop` asked for it.
    public func measureLosses(for run: Job, stop: StopConditions, memory: MemoryPlan, scratch: String?, _ started: (String?) -> Void) throws {
        guard let tokens else { throw PipelineError(.internalError, "losses without calibration") }
        _ = try compress(stop: stop, memory: memory, scratch: scratch, part: .losses, started)
        defer { clock.end() }
        let identity = try runIdentity()
        let journal = try Journal(work, identity, plan, world: world)
        let losses = journal.entries.reduce(into: [Int: [Int: [[Double?]]]]()) { found, entry in
            for (stage, facts) in entry.stages { if let losses = facts.losses { found[entry.block, default: [:]][stage] = losses } }
        }
        let path = run.work.losses
        var table = try world.fromCoordinator(exitCode: exitCode) {
            let table = LossTable(plan, losses: { losses[$0]?[$1] }, identity: identity)
            // What an earlier attempt has probed holds for as long as the losses do.
            return (try? LossTable.read(path)).flatMap { $0.hasLosses(of: table) ? $0 : nil } ?? table
        }
        let pass = try ProbePass(plan, model, tokens, committed: CommittedTiles(journal.entries, plan, work), world: world, clock: clock)
        while let first = table.units.firstIndex(where: { $0.divergence == nil }) {
            let places = first..<min(first + memory.probesAtOnce, table.units.count)
            for (place, divergence) in zip(places, try pass.divergences(of: places, stop: stop)) { table.units[place].divergence = divergence }
            try model.checkUnchanged(world)
            try world.onCoordinator(exitCode: exitCode) { try table.save(path) }
        }
        try world.onCoordinator(exitCode: exitCode) { try table.save(path) }
        removePartialCheckpoints()
        // The run that follows takes away a file that asks to stop.
        try stop.check(after: "measuring losses")
    }

    /// - Throws: an `AgreedFailure` where the losses by which this job spends its budget were measured on other weights.
    func checkSourceOfLosses() throws {
        guard let sourceOfLosses, let sourceFiles, sourceOfLosses != sourceFiles.digest else { return }
        throw AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
            description: "\(budget?.table ?? work.losses) was measured on another source (\(sourceOfLosses), this one is \(sourceFiles.digest)); remove it, "
                + "or leave out `losses`, to measure anew")
    }
}
