// What was found of the Hessians of a run, stage by stage: for its report and its journal, and held to the recipe's limits.

internal import Checkpoints
internal import Sharding
internal import Solving

/// Facts of the stages whose Hessians this run, or an earlier attempt, has made.
struct StageFindings {
    private var facts: [Int: [Int: StageFacts]] = [:]
    private var deviations: HessianDeviations
    /// Whether it has been said that inputs say little; the report names them all.
    private var hasSaidThatInputsAreAlike = false

    /// - Parameter entries: what earlier attempts have committed.
    init(_ plan: Plan, _ entries: [JournalEntry]) {
        deviations = HessianDeviations(plan)
        for entry in entries {
            facts[entry.block, default: [:]].merge(entry.stages) { old, _ in old }
            for (stage, found) in entry.stages { deviations.add(plan.blocks[entry.block].stages[stage], block: entry.block, index: stage, found) }
        }
    }

    /// Those of a block, by the places of its stages.
    subscript(block: Int) -> [Int: StageFacts] { facts[block] ?? [:] }

    /// Takes in what was found of a stage's Hessian.
    ///
    /// - Returns: a remark, once and as soon as it is known, that calibration inputs span too little; hours of work may lie ahead.
    mutating func note(_ found: StageFacts, _ stage: StagePlan, block: Int, index: Int) -> String? {
        facts[block, default: [:]][index] = found
        deviations.add(stage, block: block, index: index, found)
        guard !hasSaidThatInputsAreAlike, let remark = stage.inputsAreAlike(found) else { return nil }
        hasSaidThatInputsAreAlike = true
        return remark
    }

    /// Takes in what a stage would lose with each choice of its bits.
    mutating func note(losses: [[Double?]], block: Int, index: Int) { facts[block, default: [:]][index]?.losses = losses }

    /// - Throws: an `AgreedFailure` past a limit of the recipe, the same on every rank.
    func check() throws { try deviations.check() }
}
