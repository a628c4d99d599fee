// What a rank holds while windows of text go through the model: measuring perplexity, and sensitivities.

internal import Recipes
internal import Transformers

extension MemoryModel {
    /// Measuring perplexity: the windows of a rank go through the model together.
    func evaluate(windows: Int) -> Int {
        guard let evaluation = plan.recipe.evaluation else { return 0 }
        let states = (windows + assignment.ranks - 1) / assignment.ranks
        return windowsPass(states: states, length: evaluation.length, compute: plan.operands(evaluation.compute), logits: 1)
    }

    /// Measuring sensitivities: windows go through the model as it is and with units of it compressed, whose weights are decoded from tiles; the head's weights are
    /// packed, and logits of two compared.
    func probe(states: Int) -> Int {
        let head = plan.architecture.head.linear
        let pass = windowsPass(states: states, length: plan.probeWindows.length, compute: compute, logits: 3)
        return pass + head.rows * head.columns * operand + (groups.map { encoded($0.stage) + decoded($0.stage) }.max() ?? 0)
    }

    /// A stage's weights beside those that are being packed.
    private func decoded(_ stage: StagePlan) -> Int { stage.linears.reduce(0) { $0 + $1.linear.rows } * stage.columns * operand }

    /// Windows that go through the model together, and then through the head.
    ///
    /// - Parameters:
    ///   - states: windows of a rank.
    ///   - length: tokens of each.
    ///   - logits: that exist at once, for 256 tokens each.
    private func windowsPass(states count: Int, length: Int, compute: Compute, logits: Int) -> Int {
        let isBFloat16 = compute == .bf16
        let operand = compute.byteCount
        let stages = plan.blocks.first.map { $0.stages.prefix($0.block.denseStages.count) } ?? []
        let tokens = count * length
        let experts = plan.blocks.first { $0.block.mixture != nil }.map { expertEvaluation($0, tokens: tokens, compute: compute) } ?? 0
        let values = stages.map(\.stage.leftColumns).max() ?? 0
        let states = tokens * (hidden * 4 * (holdsPending ? 2 : 1) + values * operand)
        func weights(_ rows: Int, _ columns: Int) -> Int { rows * columns * operand + (isBFloat16 ? min(1024, rows) * columns * 4 : 0) }
        let passes = stages.map { stage in
            let rows = stage.linears.reduce(0) { $0 + $1.linear.rows }
            let pieceRows = stage.stage.pieces.map(\.rows).max() ?? 0
            let workspace = stage.stage.effect.workspaceBytes(rows: pieceRows, tokens: length, compute: compute, threads: threads)
            let values = (stage.columns + stage.stage.restingColumns) * operand + stage.stage.destination.restingBytes(compute)
            return weights(rows, stage.columns) + stage.transposedWeights * 4 + workspace + length * values
        }
        let head = plan.architecture.head.linear
        let last = weights(head.rows, head.columns) + logits * 256 * head.rows * 4
        return base + states + max(passes.max() ?? 0, last, experts)
    }
}
