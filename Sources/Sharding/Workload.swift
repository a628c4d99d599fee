// The seconds of one stage on a number of ranks, phase by phase.

internal import Compression
internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// A plan's stages on ranks of a profile.
struct Workload {
    let plan: Plan
    let ranks: Int
    let threads: Int
    let rates: MachineProfile.Rates
    let messages: MessageModel
    let disk: DiskModel
    /// Sequences of the rank that has the most, and their length.
    private let sequences: Int
    private let length: Int

    let sharing: GroupShares
    /// Between the ranks of a tensor-parallel group.
    let groupMessages: MessageModel

    var isBFloat16: Bool { plan.operands(plan.recipe.compute) == .bf16 }
    var times: ArithmeticTimes { ArithmeticTimes(rates: rates, isBFloat16: isBFloat16) }

    /// - Parameter tensorParallel: ranks of a group.
    init(plan: Plan, ranks: Int, tensorParallel: Int, profile: MachineProfile, messages: MessageModel) {
        self.plan = plan
        self.ranks = ranks
        self.messages = messages
        threads = profile.threads
        rates = profile.rates
        disk = DiskModel(profile)
        length = plan.recipe.calibration?.length ?? 0
        sequences = plan.mostSequences(ranks: ranks)
        sharing = GroupShares(plan, Assignment(ranks: ranks, groupSize: tensorParallel))
        groupMessages = MessageModel(profile, ranks: tensorParallel, ranksOfHost: tensorParallel) ?? messages
    }

    /// Adds the time of a group's stages.
    func add(_ group: StageGroup, _ residency: StageResidency, to prediction: inout Prediction) {
        if let experts = group.experts { return addExperts(group, experts: experts, to: &prediction) }
        let (stage, count) = (group.stage, Double(group.count))
        let columns = Double(stage.columns)
        if sequences > 0 {
            let passes = plan.forwardPasses
            let traffic = sharing.traffic(stage)
            let operations = sharing.operations(stage)
            let rows = stage.weightCount / columns
            prediction.forward += count * passes * times.product(operations.products, rows: rows, columns: columns)
            prediction.forward += count * passes * times.attention(operations.effects)
            prediction.forward += count * passes * sharing.tokens(stage) * (columns + rows * sharing.share(stage)) / rates.elements
            prediction.forward += count * passes * (groupMessages.broadcast(bytes: traffic.inputs) + groupMessages.broadcast(bytes: traffic.results))
            prediction.read += count * passes * stage.weightCount * sharing.share(stage) / rates.dequantize
        }
        if stage.needsHessian {
            let tokens = sharing.hessianTokens
            let parts = residency.hessianBlocks.map { ColumnBlocks.parts(of: stage.columns, blocks: $0).count } ?? 1
            // A sum in parts is made anew for each factor: each part, and before them the diagonal, has the batches pass by once.
            let sums = Double(parts == 1 ? 1 : stage.factorCount)
            let visits = parts == 1 ? 1 : sums * Double(parts) + 1
            prediction.hessian += count * times.gram(sums * tokens * columns * columns, columns: columns)
            prediction.hessian += count * visits * groupMessages.broadcast(bytes: sharing.operands(columns: stage.columns))
            addFactors(stage, residency, parts: parts, count: count, to: &prediction)
            addPanels(stage, residency, count: count, to: &prediction)
        }
        for mismatch in stage.mismatches { add(mismatch, stage, residency, count: count, to: &prediction) }
        addTiles(stage, count: count, to: &prediction)
    }

    /// - Parameter parts: in which the Hessian is summed and sent.
    private func addFactors(_ stage: StagePlan, _ residency: StageResidency, parts: Int, count: Double, to prediction: inout Prediction) {
        let schedule = FactorSchedule(
            columns: stage.columns, ranks: ranks, threads: threads, ranksOfHost: messages.ranksOfHost, sharesPanels: residency.panelsOfHost)
        let count = count * Double(stage.factorCount)
        let columns = Double(stage.columns)
        prediction.factor += count * times.factor(schedule.busiest, columns: columns)
        prediction.factor += count / Double(stage.factorCount) * stage.inverseOperations / rates.factorFloat
        // The largest |x|, the memory of sums, the diagonal, and of several ranks on a host the memory of the factor.
        let diagonal = 8 * columns
        let agreements = Double(1 + parts + (messages.ranksOfHost == 1 ? 0 : 1))
        var seconds = agreements * messages.latency + messages.reduce(bytes: diagonal) + messages.broadcast(bytes: diagonal)
        let panels = choleskyPanels(order: stage.columns).map { (rows: stage.columns - $0.lowerBound, width: $0.count) }
        for (rows, width) in panels {
            let bytes = 8 * Double(rows * width)
            // What lies above the diagonal is not summed.
            let ordering = (bytes - 4 * Double(width * width)) / rates.permute
            seconds +=
                messages.reduceOfHosts(bytes: bytes - 4 * Double(width * (width - 1)), ordering: ordering) + Double(parts - 1) * messages.latency
        }
        let factoring = schedule.seconds(perOperation: times.factor(1, columns: columns)) {
            messages.broadcastToHosts(bytes: plan.panelElementBytes * Double(panels[$0].rows * panels[$0].width))
        }
        prediction.reduce += count * (seconds + factoring - times.factor(schedule.busiest, columns: columns))
    }

    /// Where R lies over the ranks, every rank receives it again, in fp32, for each wave of tiles.
    private func addPanels(_ stage: StagePlan, _ residency: StageResidency, count: Double, to prediction: inout Prediction) {
        guard !residency.completeFactor, stage.panelColumns > 0 else { return }
        let most = stage.ownTiles(ranks: ranks).map(\.count).max() ?? 0
        let waves = residency.tilesAtOnce.map { (most + $0 - 1) / $0 } ?? 1
        let pieces = Double((stage.columns + stage.panelColumns - 1) / stage.panelColumns)
        let bytes = 2 * Double(stage.columns) * Double(stage.columns) / pieces
        prediction.reduce += count * Double(waves * stage.factorCount) * pieces * messages.broadcast(bytes: bytes)
    }

    /// A rank's tiles of a stage.
    func solveSeconds(_ stage: StagePlan, _ tiles: [Tile]) -> Double {
        let (eliminated, remaining) = (tiles.filter(stage.isEliminated), tiles.filter { !stage.isEliminated($0) })
        let (admm, others) = (remaining.filter(stage.isADMM), remaining.filter { !stage.isADMM($0) })
        return eliminationSeconds(stage, eliminated) + admmSeconds(stage, admm) + columnLoopSeconds(tiles: others.map(\.rows.count), Double(stage.columns))
    }

    /// As many tiles as there are threads at a time, each at a thread's share of the rate of products.
    private func admmSeconds(_ stage: StagePlan, _ tiles: [Tile]) -> Double {
        guard !tiles.isEmpty else { return 0 }
        let operations = tiles.reduce(0) { $0 + stage.solveOperations(of: $1) } / Double(tiles.count)
        return Double((tiles.count + threads - 1) / threads) * operations * Double(threads) / rates.productFloat
    }

    /// As many tiles as there are threads at a time, and the last few one after the other, whose products and searches threads share.
    private func columnLoopSeconds(tiles: [Int], _ columns: Double) -> Double {
        guard !tiles.isEmpty else { return 0 }
        let weights = Double(tiles.reduce(0, +)) / Double(tiles.count) * columns, rows = tiles.max() ?? 0
        // Of a tile by one thread.
        let gathering = weights * columns * Double(threads) / (isBFloat16 ? rates.solveBFloat16 : rates.solveFloat)
        let search = weights * Double(threads) / rates.search
        let alone = ColumnLoop.alone(tiles: tiles.count, rows: rows, columns: Int(columns), threads: threads)
        let rounds = (tiles.count - alone + threads - 1) / threads
        let shared = gathering / ColumnLoop.gain(columns: Int(columns), threads: threads) + search / ColumnLoop.searchGain(rows: rows, threads: threads)
        return Double(rounds) * (gathering + search) + Double(alone) * shared
    }

    private func addTiles(_ stage: StagePlan, count: Double, to prediction: inout Prediction) {
        guard !stage.tiles.isEmpty else { return }
        let owners = stage.ownTiles(ranks: ranks)
        let columns = Double(stage.columns)
        let mostRows = owners.map { $0.reduce(0) { $0 + $1.rows.count } }.max() ?? 0
        if stage.needsHessian {
            prediction.solve += count * (owners.map { solveSeconds(stage, $0) }.max() ?? 0)
        }
        let counts = stage.selectionBytes
        prediction.solve += count * (Double(stage.selections) * messages.latency + messages.reduce(bytes: counts) + messages.broadcast(bytes: counts))
        let rows = Double(stage.tiles.reduce(0) { $0 + $1.rows.count })
        prediction.solve += count * plan.sourceBytesPerWeight * columns * rows / disk.read(ranks: min(ranks, owners.count))
        // The parts of the ranks that own any, one after the other.
        if ranks > 1 {
            prediction.gather += count * Double(owners.count) * messages.broadcast(bytes: stage.encodedBytes / Double(owners.count))
        }
        prediction.commit += count * stage.encodedBytes * Double(mostRows) / rows * Double(owners.count) / disk.write(ranks: owners.count)
    }
}

extension Plan {
    /// Sequences of the rank that has the most.
    func mostSequences(ranks: Int) -> Int {
        let assignment = Assignment(ranks: ranks)
        return (0..<ranks).map { rank in assignment.batches(self, of: rank).reduce(0) { $0 + batches[$1].count } }.max() ?? 0
    }
}
