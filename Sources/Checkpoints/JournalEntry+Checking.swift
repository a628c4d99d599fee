// Holding a journal's entries to the plan: a line with a sound checksum may still come from elsewhere, and its numbers become indices.

internal import Safetensors
internal import Sharding

extension JournalEntry {
    /// Why no run of `plan` can have written this entry; nil when one can.
    func contradiction(to plan: Plan) -> String? {
        guard plan.blocks.indices.contains(block) else { return "block \(block) of \(plan.blocks.count)" }
        guard FilePath.isName(file) else { return "\"\(file)\" is not the name of a file beside the others" }
        let planned = plan.blocks[block].stages
        var seen: Set<TileKey> = []
        for run in tiles {
            guard planned.indices.contains(run.stage) else { return "stage \(run.stage) of \(planned.count)" }
            let count = planned[run.stage].tiles.count
            guard run.first >= 0, run.count > 0, run.first <= count - run.count else {
                return "\(run.count) tiles from \(run.first) on, where the stage has \(count)"
            }
            for tile in run.first..<run.first + run.count {
                guard seen.insert(TileKey(block: block, stage: run.stage, tile: tile)).inserted else { return "tile \(tile) of stage \(run.stage) twice" }
            }
        }
        for (stage, facts) in stages {
            guard planned.indices.contains(stage) else { return "facts of stage \(stage) of \(planned.count)" }
            guard facts.linears.count == planned[stage].linears.count else {
                return "facts of \(facts.linears.count) linears, where stage \(stage) has \(planned[stage].linears.count)"
            }
            let chosen = planned[stage].linears.count { !$0.choices.isEmpty }
            if let losses = facts.losses, losses.count != planned[stage].choiceCount || losses.contains(where: { $0.count != chosen }) {
                return "losses of \(losses.map(\.count)) linears, where stage \(stage) has \(chosen) with \(planned[stage].choiceCount) choices"
            }
        }
        return nil
    }
}
