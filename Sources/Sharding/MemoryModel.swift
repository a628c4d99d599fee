// What a rank holds in each phase of a run, in bytes, from shapes alone.

internal import Compression
internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// The memory of the busiest rank, phase by phase. A phase's sum names what lives at its fullest moment.
struct MemoryModel {
    let plan: Plan
    /// The plan's stages, one of each kind.
    private let groups: [StageGroup]
    var assignment: Assignment
    let threads: Int
    /// What the process holds beside: its libraries, plan and index.
    let base: Int
    /// Whether the activations of all batches are in memory; else those of the batch in hand.
    let keepsActivations: Bool
    /// Tokens of the largest batch, of its longest sequence, and of all batches of a rank.
    var batchTokens: Int
    let length: Int
    let rankTokens: Int
    private let holdsPending: Bool
    /// The block's tiles that a rank still holds.
    private var committing = 0
    /// What rests besides while experts are worked on.
    var besideExperts = 0

    /// Models through which the batches go: the compressed one, and the dense one where linears are to give its outputs.
    private var models: Int { plan.needsDenseInputs ? 2 : 1 }
    var hidden: Int { plan.architecture.hiddenSize }
    /// What operands of products are, and the bytes of an element.
    var compute: Compute { plan.operands(plan.recipe.compute) }
    var isBFloat16: Bool { compute == .bf16 }
    var operand: Int { compute.byteCount }

    /// - Parameter groups: of the plan.
    init(_ plan: Plan, _ groups: [StageGroup], ranks: Int, tensorParallel: Int, threads: Int, base: Int, keepsActivations: Bool, batchSequences: Int? = nil) {
        self.plan = plan
        self.groups = groups
        assignment = Assignment(ranks: ranks, groupSize: tensorParallel)
        self.threads = threads
        self.base = base
        self.keepsActivations = keepsActivations
        length = plan.recipe.calibration?.length ?? 0
        batchTokens = min(batchSequences ?? .max, plan.batches.first?.count ?? 0) * length
        let sequences = (0..<ranks).map { [assignment] rank in assignment.batches(plan, of: rank).reduce(0) { $0 + plan.batches[$1].count } }
        rankTokens = (sequences.max() ?? 0) * length
        holdsPending = groups.contains { $0.stage.stage.destination == .pending }
        committing = mostCommitting()
    }

    // MARK: - Phases

    /// Embedding the tokens.
    func embed() -> Int {
        base + (keepsActivations ? rankTokens * models : batchTokens) * hidden * 4
    }

    /// Summing a stage's Hessian, and reducing it to the owners of its panels.
    func hessian(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        guard stage.needsHessian else { return 0 }
        // Of a rank's own batch, or of another rank's.
        let c = stage.columns, input = max(batchInput(stage), assignment.groupSize > 1 ? batchTokens * stage.columns * operand : 0)
        let product = threads * GramSum.blockBytes
        func operands(_ part: Int) -> Int { isBFloat16 ? GramSum.operandBytes(columns: c, part: part, tokens: batchTokens) : 0 }
        guard let blocks = residency.hessianBlocks else {
            return resting(stage) + product + GramSum.byteCount(columns: c) + max(input + operands(c), ownPanels(c) + panel(c, 8))
        }
        let parts = GramSum.parts(of: c, blocks: blocks), width = parts.map(\.count).max() ?? 0
        let part = parts.map { GramSum.byteCount(columns: c, part: $0) }.max() ?? 0
        return resting(stage) + product + diagonalBlocks(c) + part + ownPanels(c) + max(input + operands(width), panel(c, 8))
    }

    /// The factorisation: panels in fp64 become those of R.
    func factor(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        guard stage.needsHessian else { return 0 }
        let c = stage.columns, settings = stage.factorCount
        // In fp64, and where products are in fp32, in fp32.
        let panelInHand = panel(c, isBFloat16 ? 12 : 8)
        let sum = residency.hessianBlocks == nil ? GramSum.byteCount(columns: c) : diagonalBlocks(c)
        guard residency.completeFactor else {
            // A panel's own part of R exists before its fp64 goes.
            return resting(stage) + sum + (settings - 1) * ownPanels(c) / 2 + panel(c, 4) + ownPanels(c) + panelInHand
        }
        let r = (settings - 1) * completeFactor(c) + upperTriangle(c) + inverses(stage, making: true)
        return resting(stage) + sum + r + max(ownPanels(c) + panelInHand, completeFactor(c) - upperTriangle(c))
    }

    /// Solving a rank's tiles of a stage, and gathering those of all ranks.
    func solve(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        let c = stage.columns
        guard !stage.tiles.isEmpty else { return 0 }
        let lanes = (stage.tileRows + 31) / 32 * 32
        let count = ownTiles(stage)
        // Weights twice in fp32 (as read, and transposed), errors, codes twice; what rounding to nearest keeps is about the same.
        let narrowed = isBFloat16 ? 2 : 0
        let partial = stage.needsHessian ? ColumnLoop.partialBytes(columns: c, lanes: lanes) : 0
        let atOnce = c * lanes * (4 + 4 + 4 + narrowed + 1 + 1) + partial + stage.transposedWeights * 4
        var tiles: Int
        var shifted = shiftedWeights(stage, tiles: count)
        if stage.prunes {
            // Values and masks besides; R where there is a Hessian.
            let columnLoop = count * c * lanes * (4 + 4 + 4 + 4 + narrowed + 1 + 1) + min(threads, count) * partial
            let admm = stage.tiles.contains(where: stage.isADMM) ? c * lanes * (count * ADMM.heldBytes + min(threads, count) * ADMM.workBytes) : 0
            tiles = (stage.needsHessian ? stage.factorCount * completeFactor(c) : 0) + max(columnLoop, admm, exactOBS(stage, count: count, lanes: lanes))
            tiles += stage.transposedWeights * 4
        } else if !stage.needsHessian {
            tiles = min(threads, count) * atOnce
        } else if residency.completeFactor {
            tiles = stage.factorCount * completeFactor(c) + min(threads, count) * atOnce + rowsInHand(stage)
        } else {
            let held = c * lanes * (4 + 4 + narrowed + 1) + (stage.hasRounding ? c * lanes * 4 : 0)
            let inHand = min(residency.tilesAtOnce ?? count, count)
            shifted = shiftedWeights(stage, tiles: inHand)
            let pieces = c * min(stage.panelColumns, c) * (4 + narrowed) + panel(c, 4)
            tiles = stage.factorCount * ownPanels(c) / 2 + inHand * held + max(min(threads, inHand) * (atOnce - held), pieces)
        }
        // A rank's own tiles while it solves them; then those that it needs of the others, while R is still there.
        let (own, held) = encodedTiles(stage)
        let r = !stage.needsHessian ? 0 : stage.factorCount * (residency.completeFactor ? completeFactor(c) : ownPanels(c) / 2)
        return resting(stage) + mismatchMaps(stage) + inverses(stage) + (stage.prunes ? held + tiles : max(own + tiles + shifted, held + r))
    }

    /// Assembling the result: a piece of the source or a tile, and what is waiting to be written; whole tensors where the format transposes them.
    func merge() -> Int {
        let stages = groups.map(\.stage)
        let tile = stages.map { $0.tileRows * $0.columns }.max() ?? 0
        let transposed = stages.map(\.transposedWeights).max() ?? 0
        return base + (16 << 20) + max(8 * tile, 10 * transposed) + wholeTensor
    }

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

    // MARK: - Parts

    /// What is not in matrices, whatever the phase: the process, and encoded tiles.
    func besideMatrices() -> Int {
        let tiles = groups.map { group -> Int in
            if group.experts != nil { return encoded(group.stage) }
            let (own, held) = encodedTiles(group.stage)
            return max(own, held)
        }
        return base + committing + (tiles.max() ?? 0)
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

    /// The panels of a matrix in fp64 with the rank that has the most.
    func ownPanels(_ columns: Int) -> Int {
        var bytes = [Int](repeating: 0, count: assignment.ranks)
        for (index, range) in choleskyPanels(order: columns).enumerated() {
            bytes[assignment.panelOwner(index)] += (columns - range.lowerBound) * range.count * 8
        }
        return bytes.max() ?? 0
    }

    func panel(_ columns: Int, _ width: Int) -> Int { columns * min(choleskyTileSize, columns) * width }

    /// R in fp32, and in bf16 where products are.
    func completeFactor(_ columns: Int) -> Int { upperTriangle(columns) + (isBFloat16 ? Factor.narrowedBytes(columns: columns) : 0) }

    /// R in fp32, of which elements on and above the diagonal are written, to whole pages in each row.
    private func upperTriangle(_ columns: Int) -> Int { MemoryPool.TriangleShape(order: columns, elementByteCount: 4).usedByteCount }

    private func diagonalBlocks(_ columns: Int) -> Int { min(GramSum.blockColumns, columns) * columns * 8 }
}

extension StagePlan {
    /// Whether masks go through all rows of a linear: all tiles of a rank are then at work at once, with the whole of R.
    var prunes: Bool { linears.contains { $0.pruning != nil } }

    /// Rows of the highest tile.
    var tileRows: Int { tiles.map(\.rows.count).max() ?? 0 }

    /// Weights of the largest linear that is stored transposed, or the room that reading it takes.
    var transposedWeights: Int {
        linears.reduce(0) { $1.linear.layout == .columnsByRows ? max($0, $1.linear.rows * $1.linear.columns, $1.linear.transposedNumbers) : $0 }
    }

    /// The widest panel of R that a tile takes.
    var panelColumns: Int {
        linears.flatMap { linear in [linear.options?.panelColumns].compactMap { $0 } + linear.choices.indices.map { choosing($0).panelColumns } }.max() ?? 0
    }

    var hasRounding: Bool { linears.contains { $0.treatment?.method == .rtn } }

    /// At most the bytes of a solved tile.
    func bytes(of tile: Tile) -> Int {
        let linear = linears[tile.linear]
        if linear.choices.count > 0 { return linear.choices.indices.map { choosing($0).bytes(of: tile) }.max() ?? 0 }
        let extra = 32 + 8 * (linear.pruning?.comparisons(columns: columns).count ?? 0) + (linear.options?.hasPermutedGroups == true ? columns * 4 : 0)
        switch linear.content {
        case .codes(let options)?:
            let row = (columns * options.bits + 31) / 32 * 4 + options.groupCount(columns: columns) * 5 + 16
            return tile.rows.count * row + extra
        case .values(let type)?: return tile.rows.count * (columns * (type == .f32 ? 4 : 2) + 16) + extra
        case nil: return 0
        }
    }
}
