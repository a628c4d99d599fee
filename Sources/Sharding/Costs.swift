// What a plan costs on a number of ranks: arithmetic, messages and memory, from shapes alone.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// The costs of a run for its busiest rank.
public struct Costs: Codable, Sendable {
    public var ranks: Int
    /// Multiplications and additions.
    public var forwardOperations = 0.0
    public var hessianOperations = 0.0
    public var factorOperations = 0.0
    public var solveOperations = 0.0
    /// Bytes that a rank contributes to sums of Hessians, to copies of factors, and to gathered tiles.
    public var bytesSent = 0.0
    /// Bytes of weights that a rank reads: of the tiles that it solves, and of what runs forward as it stands.
    public var bytesRead = 0.0
    /// The largest resident memory, in bytes.
    public var memory = 0
    /// Partial checkpoints of all ranks.
    public var partialFiles = 0
}

extension Plan {
    /// Bytes of an element of a factored panel, as it is copied to all ranks.
    var panelElementBytes: Double { operands(recipe.compute) == .bf16 ? 4 : 8 }

    /// Bytes of a Hessian's panels that the rank sends which has the most: others' sums to them, in fp64 and without what lies above the diagonal, and its
    /// own factored ones to all, with it. The first rank owns the most panels, the last the fewest.
    func panelBytes(_ columns: Int, ranks: Int) -> Double {
        let (assignment, rank) = (Assignment(ranks: ranks), panelElementBytes < 8 ? ranks - 1 : 0)
        return choleskyPanels(order: columns).enumerated().reduce(0) { sum, panel in
            let (rows, width) = (columns - panel.element.lowerBound, panel.element.count)
            let isOwn = assignment.panelOwner(panel.offset) == rank
            return sum + (isOwn ? panelElementBytes * Double(rows * width) : 8 * Double(rows * width - width * (width - 1) / 2))
        }
    }

    /// The costs on a number of ranks.
    ///
    /// - Parameter memory: what is kept in memory on that many ranks; nil: everything.
    public func costs(ranks: Int, memory: MemoryPlan? = nil) -> Costs {
        let assignment = Assignment(ranks: ranks, groupSize: memory?.tensorParallel ?? 1)
        let sharing = GroupShares(self, assignment)
        var costs = Costs(ranks: ranks)
        let sequences = (0..<ranks).map { rank in assignment.batches(self, of: rank).reduce(0) { $0 + batches[$1].count } }.max() ?? 0
        var busiest: [Int: Double] = [:]  // factorisations by their columns: most stages are alike
        for (index, block) in blocks.enumerated() {
            var owners = Set<Int>()
            for (place, stage) in block.stages.enumerated() where block.block.expert(ofStage: place) == nil {
                add(stage, assignment, sharing, sequences: sequences, &busiest, to: &costs)
                owners.formUnion(assignment.owners(of: stage.tiles))
            }
            if block.block.mixture != nil { owners.formUnion(addExperts(of: index, ranks: ranks, to: &costs)) }
            costs.partialFiles += owners.count
        }
        // Without a limit every plan fits.
        costs.memory = (memory ?? (try? memoryPlan(ranks: ranks, threads: 1, limit: nil)))?.bound ?? 0
        if ranks == 1 { costs.bytesSent = 0 }
        return costs
    }

    private func add(
        _ stage: StagePlan, _ assignment: Assignment, _ sharing: GroupShares, sequences: Int, _ busiest: inout [Int: Double], to costs: inout Costs
    ) {
        let ranks = assignment.ranks, passes = forwardPasses
        let (rows, columns) = (stage.linears.reduce(0) { $0 + $1.linear.rows }, stage.columns)
        costs.forwardOperations += sharing.operations(stage) * passes
        costs.bytesSent += sharing.bytesSent(stage) * passes
        if stage.needsHessian {
            costs.hessianOperations += sharing.hessianTokens * Double(columns) * Double(columns)
            costs.bytesSent += sharing.inputBytesSent(stage)
            costs.bytesSent += Double(stage.factorCount) * (panelBytes(columns, ranks: ranks) + 8 * Double(columns))
            // Every rank waits for the busiest one of each stage.
            if busiest[columns] == nil { busiest[columns] = FactorSchedule(columns: columns, ranks: ranks, threads: 1).busiest }
            costs.factorOperations += Double(stage.factorCount) * (busiest[columns] ?? 0) + stage.inverseOperations
        }
        if stage.needsDenseInput { costs.addMismatch(stage, sharing) }
        let perRank = zip(assignment.owners(of: stage.tiles), stage.tiles).reduce(into: [Int: Int]()) { $0[$1.0, default: 0] += $1.1.rows.count }
        let solved = perRank.values.max() ?? 0
        costs.solveOperations += stage.ownTiles(ranks: ranks).map { $0.reduce(0) { $0 + stage.solveOperations(of: $1) } }.max() ?? 0
        costs.bytesSent += stage.selectionBytes
        costs.bytesSent += stage.encodedBytes * Double(solved) / Double(max(stage.tiles.reduce(0) { $0 + $1.rows.count }, 1))
        let kept = stage.linears.reduce(0) { $1.treatment == nil ? $0 + $1.linear.rows : $0 }
        let dense = sequences == 0 ? 0 : Double((recipe.propagation == .stage ? kept : rows) + (needsDenseInputs ? rows : 0)) * sharing.share(stage)
        costs.bytesRead += (Double(solved) * stage.timesRead + dense) * Double(columns) * sourceBytesPerWeight
    }

    /// - Returns: the ranks that have experts.
    private func addExperts(of index: Int, ranks: Int, to costs: inout Costs) -> Range<Int> {
        let block = blocks[index]
        guard let mixture = block.block.mixture else { return 0..<0 }
        let shares = ExpertShares(experts: mixture.experts, ranks: ranks), passes = forwardPasses
        for place in mixture.stages(of: 0) {
            let stage = block.stages[place], columns = Double(block.stages[place].columns), most = Double(shares.most)
            let tokens = Double(calibrationTokens) * stage.stage.tokenShare * shares.imbalance
            let rows = Double(stage.tiles.reduce(0) { $0 + $1.rows.count })
            costs.forwardOperations += most * passes * 2 * stage.weightCount * tokens
            costs.bytesSent += passes * exchangedBytes(stage, experts: mixture.experts) / Double(ranks)
            if stage.needsHessian {
                costs.hessianOperations += most * tokens * columns * columns
                costs.factorOperations += most * Double(stage.factorCount) * columns * columns * columns / 3 + most * stage.inverseOperations
            }
            costs.solveOperations += most * stage.tiles.reduce(0) { $0 + stage.solveOperations(of: $1) }
            let isDense = recipe.propagation != .stage && calibrationTokens > 0
            costs.bytesRead += most * (rows * columns * stage.timesRead + (isDense ? stage.weightCount : 0)) * sourceBytesPerWeight
        }
        return 0..<min(ranks, mixture.experts)
    }
}
