// What a rank holds in each phase of a run, in bytes, from shapes alone.

internal import Compression
internal import Recipes
internal import Transformers

/// The memory of the busiest rank, phase by phase. A phase's sum names what lives at its fullest moment.
struct MemoryModel {
    let plan: Plan
    /// The plan's stages, one of each kind.
    let groups: [StageGroup]
    var assignment: Assignment
    let threads: Int
    /// The most ranks of a host, and the hosts.
    var ranksOfHost: Int
    var hosts: Int { (assignment.ranks + ranksOfHost - 1) / ranksOfHost }
    /// What the process holds beside: its libraries, plan and index.
    let base: Int
    /// Whether the activations of all batches are in memory; else those of the batch in hand.
    let keepsActivations: Bool
    /// Tokens of the largest batch, of its longest sequence, and of all batches of a rank.
    var batchTokens: Int
    let length: Int
    let rankTokens: Int
    let holdsPending: Bool
    /// The block's tiles that a rank still holds.
    private var committing = 0
    /// What rests besides while experts are worked on.
    var besideExperts = 0

    /// Models through which the batches go: the compressed one, and the dense one where linears are to give its outputs.
    var models: Int { plan.needsDenseInputs ? 2 : 1 }
    var hidden: Int { plan.architecture.hiddenSize }
    /// What operands of products are, and the bytes of an element.
    var compute: Compute { plan.operands(plan.recipe.compute) }
    var isBFloat16: Bool { compute == .bf16 }
    var operand: Int { compute.byteCount }

    /// - Parameter groups: of the plan.
    init(
        _ plan: Plan, _ groups: [StageGroup], ranks: Int, ranksOfHost: Int, tensorParallel: Int, threads: Int, base: Int, keepsActivations: Bool,
        batchSequences: Int? = nil
    ) {
        self.plan = plan
        self.groups = groups
        assignment = Assignment(ranks: ranks, groupSize: tensorParallel, ranksOfHost: ranksOfHost)
        self.threads = threads
        self.ranksOfHost = ranksOfHost
        self.base = base
        self.keepsActivations = keepsActivations
        length = plan.recipe.calibration?.length ?? 0
        batchTokens = min(batchSequences ?? .max, plan.batches.first?.count ?? 0) * length
        let sequences = (0..<ranks).map { [assignment] rank in assignment.batches(plan, of: rank).reduce(0) { $0 + plan.batches[$1].count } }
        rankTokens = (sequences.max() ?? 0) * length
        holdsPending = groups.contains { $0.stage.stage.destination == .pending }
        committing = mostCommitting()
    }

    /// Embedding the tokens.
    func embed() -> Int {
        base + (keepsActivations ? rankTokens * models : batchTokens) * hidden * 4
    }

    /// Assembling the result: a piece of the source or a tile, and what is waiting to be written; whole tensors where the format transposes them.
    func merge() -> Int {
        let stages = groups.map(\.stage)
        let tile = stages.map { $0.tileRows * $0.columns }.max() ?? 0
        let transposed = stages.map(\.transposedWeights).max() ?? 0
        return base + (16 << 20) + max(8 * tile, 10 * transposed) + wholeTensor + vocabulary
    }

    /// The tokenizer that a GGUF file carries, parsed and as metadata: less than 500 bytes a token with its merges.
    private var vocabulary: Int { plan.recipe.format == .gguf ? 1024 * plan.architecture.vocabularySize : 0 }

    /// The largest tensor of a format that lays codes, scales or zero points of all rows beside each other; 0 for other formats.
    private var wholeTensor: Int {
        guard plan.recipe.format.laysRowsBesideEachOther else { return 0 }
        return plan.compressedLinears.compactMap { linear in
            linear.options.map { options in
                let (rows, columns) = (linear.linear.rows, linear.linear.columns)
                // Scales twice in fp32, and once as they are stored.
                return max((rows * columns * options.bits + 7) / 8, rows * options.groupCount(columns: columns) * (4 + 4 + 2))
            }
        }.max() ?? 0
    }

    /// What is not in matrices, whatever the phase: the process, encoded tiles, and what a host's ranks share.
    func besideMatrices() -> Int {
        let tiles = groups.map { group -> Int in
            if group.experts != nil { return encoded(group.stage) }
            let (own, held) = encodedTiles(group.stage)
            return max(own, held)
        }
        let sums = groups.map { $0.stage.needsHessian || $0.stage.needsDenseInput ? summing($0.stage.columns) : 0 }
        return base + committing + (tiles.max() ?? 0) + (sums.max() ?? 0)
    }

    /// What rests while a stage is worked on: activations, and the block's tiles so far.
    func resting(_ stage: StagePlan, leaving: Bool = false) -> Int {
        var bytes = base + committing + besideExperts
        guard keepsActivations else { return bytes }
        var columns = restsWithInput(stage) ? stage.columns : 0
        if leaving { columns = max(columns, stage.stage.destination.valueColumns) }
        columns += stage.stage.restingColumns
        let streams = 1 + (plan.recipe.propagation == .block ? 1 : 0) + (holdsPending ? 1 : 0)
        bytes += models * rankTokens * (hidden * 4 * streams + columns * operand)
        return bytes
    }

    /// The state of the batch in hand, where it does not rest in memory, and the stage's input.
    func batchInput(_ stage: StagePlan) -> Int {
        let input = batchTokens * stage.columns * operand
        let state = keepsActivations ? 0 : batchTokens * (hidden * 4 * (holdsPending ? 2 : 1) + stage.stage.restingColumns * operand)
        return state + (restsWithInput(stage) ? 0 : input)
    }

    /// Whether a stage's input is part of the states in memory: it was left there, or it is kept from the Hessian on.
    private func restsWithInput(_ stage: StagePlan) -> Bool { keepsActivations && (!stage.stage.input.isDerived || stage.needsHessian) }
}
