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
    /// Bytes that a rank contributes to sums of Hessians between hosts, to copies of factors, and to gathered tiles.
    public var bytesSent = 0.0
    /// Bytes that all ranks together put into messages between hosts.
    public var bytesBetweenHosts = 0.0
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

    /// The costs on a number of ranks.
    ///
    /// - Parameters:
    ///   - ranksOfHost: that share memory, at most.
    ///   - memory: what is kept in memory on that many ranks; nil: everything.
    public func costs(ranks: Int, ranksOfHost: Int = usualRanksOfHost, memory: MemoryPlan? = nil) -> Costs {
        let shape = HostShape(ranks: ranks, most: ranksOfHost)
        var sent = [Double](repeating: 0, count: ranks)  // bytes of each rank
        let assignment = Assignment(ranks: ranks, groupSize: memory?.tensorParallel ?? 1, ranksOfHost: shape.most)
        let sharing = GroupShares(self, assignment)
        var costs = Costs(ranks: ranks)
        let sequences = (0..<ranks).map { rank in assignment.batches(self, of: rank).reduce(0) { $0 + batches[$1].count } }.max() ?? 0
        var busiest: [Int: FactorCosts] = [:]  // by their columns: most stages are alike
        for (index, block) in blocks.enumerated() {
            var owners = Set<Int>()
            for (place, stage) in block.stages.enumerated() where block.block.expert(ofStage: place) == nil {
                let panelsOfHost = memory?.stages[index][place].panelsOfHost ?? (shape.hosts > 1)
                add(stage, assignment, sharing, shape, panelsOfHost: panelsOfHost, sequences: sequences, &busiest, &sent, to: &costs)
                owners.formUnion(assignment.owners(of: stage.tiles))
            }
            if block.block.mixture != nil { owners.formUnion(addExperts(of: index, shape, to: &costs)) }
            costs.partialFiles += owners.count
        }
        costs.bytesRead += bytesOfMeasuring / Double(ranks)
        // Without a limit every plan fits.
        costs.memory = (memory ?? (try? memoryPlan(ranks: ranks, threads: 1, limit: .none)))?.bound ?? 0
        costs.bytesSent = ranks == 1 ? 0 : costs.bytesSent + (sent.max() ?? 0)
        if shape.hosts == 1 { costs.bytesBetweenHosts = 0 }
        return costs
    }

    /// Of the factor of a matrix: the rank that has the most of it, and its messages.
    private typealias FactorCosts = (operations: Double, messages: PanelMessages)

    private func add(
        _ stage: StagePlan, _ assignment: Assignment, _ sharing: GroupShares, _ shape: HostShape, panelsOfHost: Bool, sequences: Int,
        _ busiest: inout [Int: FactorCosts],
        _ sent: inout [Double], to costs: inout Costs
    ) {
        func send(_ bytes: (Int) -> Double) { for rank in sent.indices { sent[rank] += bytes(rank) } }
        let ranks = assignment.ranks, passes = forwardPasses
        let (rows, columns) = (stage.linears.reduce(0) { $0 + $1.linear.rows }, stage.columns)
        let operations = sharing.operations(stage)
        costs.forwardOperations += (operations.products + operations.effects) * passes
        let forward = sharing.forwardBytes(stage)
        send { forward[$0] * passes }
        if stage.needsHessian {
            costs.hessianOperations += sharing.hessianTokens * Double(columns) * Double(columns)
            let inputs = sharing.operandBytesSent(columns: columns)
            // Every rank waits for the busiest one of each stage.
            let factor =
                busiest[columns]
                ?? (
                    FactorSchedule(columns: columns, ranks: ranks, threads: 1, ranksOfHost: shape.most, sharesPanels: panelsOfHost).busiest,
                    PanelMessages(columns: columns, elementBytes: panelElementBytes, shape: shape)
                )
            busiest[columns] = factor
            let factors = Double(stage.factorCount), diagonal = 8 * Double(columns)
            send { inputs[$0] + factors * (factor.messages.sent[$0] + diagonal) }
            costs.bytesBetweenHosts += factors * (factor.messages.betweenHosts + Double(ranks) * diagonal)
            costs.factorOperations += factors * factor.operations + stage.inverseOperations
        }
        for mismatch in stage.mismatches {
            let bytes = costs.add(mismatch, stage, sharing, shape)
            send { bytes[$0] }
        }
        let perRank = zip(assignment.owners(of: stage.tiles), stage.tiles).reduce(into: [Int: Int]()) { $0[$1.0, default: 0] += $1.1.rows.count }
        let solved = perRank.values.max() ?? 0
        costs.solveOperations += stage.ownTiles(ranks: ranks).map { $0.reduce(0) { $0 + stage.solveOperations(of: $1) } }.max() ?? 0
        let rowsOfAll = Double(max(stage.tiles.reduce(0) { $0 + $1.rows.count }, 1))
        send { stage.selectionBytes + shape.copied(stage.encodedBytes) * Double((perRank[$0] ?? 0) * ranks) / rowsOfAll }
        costs.bytesBetweenHosts += Double(ranks) * stage.selectionBytes + stage.encodedBytes
        let kept = stage.linears.reduce(0) { $1.treatment == nil ? $0 + $1.linear.rows : $0 }
        let dense = sequences == 0 ? 0 : Double((recipe.propagation == .stage ? kept : rows) + (needsDenseInputs ? rows : 0)) * sharing.share(stage)
        costs.bytesRead += (Double(solved) * stage.timesRead + dense) * Double(columns) * sourceBytesPerWeight
    }

    /// - Returns: the ranks that have experts.
    private func addExperts(of index: Int, _ shape: HostShape, to costs: inout Costs) -> Range<Int> {
        let block = blocks[index], ranks = shape.ranks
        guard let mixture = block.block.mixture else { return 0..<0 }
        let shares = ExpertShares(experts: mixture.experts, ranks: ranks), passes = forwardPasses
        for place in mixture.stages(of: 0) {
            let stage = block.stages[place], columns = Double(block.stages[place].columns), most = Double(shares.most)
            let tokens = Double(calibrationTokens) * stage.stage.tokenShare * shares.imbalance
            let rows = Double(stage.tiles.reduce(0) { $0 + $1.rows.count })
            let inputs = block.denseInputs(ofExpertStage: place)
            costs.forwardOperations += most * (passes + inputs.passes) * 2 * stage.weightCount * tokens
            let exchanged = (passes + inputs.visits) * exchangedBytes(stage, experts: mixture.experts)
            costs.bytesSent += exchanged / Double(ranks)
            // Experts lie on all hosts alike.
            costs.bytesBetweenHosts += exchanged * (1 - 1 / Double(shape.hosts))
            if stage.needsHessian {
                costs.hessianOperations += most * tokens * columns * columns
                costs.factorOperations += most * Double(stage.factorCount) * columns * columns * columns / 3 + most * stage.inverseOperations
            }
            for mismatch in stage.mismatches { costs.add(mismatch, ofExpert: stage, tokens: tokens, count: most) }
            costs.solveOperations += most * stage.tiles.reduce(0) { $0 + stage.solveOperations(of: $1) }
            let isDense = (recipe.propagation != .stage || needsDenseInputs) && calibrationTokens > 0
            costs.bytesRead += most * (rows * columns * stage.timesRead + (isDense ? stage.weightCount : 0)) * sourceBytesPerWeight
        }
        return 0..<min(ranks, mixture.experts)
    }
}
