// The sensitivity of units: how far predictions move when one unit alone has its compressed weights.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import MessagePassing
internal import Models
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Texts
internal import Transformers

/// Runs probes over the ranks. Weights are read once for all probes that run side by side, block after block; every product has a shape that the plan decides.
struct ProbePass {
    private let plan: Plan
    private let world: Communicator
    private let clock: PhaseClock
    /// The probed choice of every unit.
    private let committed: CommittedTiles
    private let forward: Forward
    private let weights: StageWeights
    /// Of an expert, on its owner.
    private let alone: StageWeights
    /// This rank alone: no stage is shared.
    private let group: TensorGroup
    private let windows: [[Int32]]

    init(_ plan: Plan, _ model: Model, _ tokens: TokenSequences, committed: CommittedTiles, world: Communicator, clock: PhaseClock) throws {
        (self.plan, self.world, self.clock, self.committed) = (plan, world, clock, committed)
        forward = Forward(architecture: plan.architecture, compute: plan.recipe.compute.effective, source: model.parameters)
        weights = StageWeights(model: model, forward: forward, world: world, clock: clock, phase: nil)
        alone = StageWeights(model: model, forward: forward, world: .alone(), clock: clock, phase: nil)
        group = try TensorGroup(.alone(), Assignment(ranks: 1))
        windows = plan.probedSequences.map { Array(tokens.sequences[$0].prefix(plan.probeWindows.length)) }
    }

    /// The divergence of each of some consecutive units: the mean over tokens, in nats. Collective; the same on every rank, and on any number of them.
    ///
    /// - Parameter places: of the units among the plan's.
    func divergences(of places: Range<Int>, stop: StopConditions) throws -> [Double] {
        let units = Array(plan.units[places]), probes = plan.probes(units: units.count, ranks: world.size)
        let own = try clock.measure(.evaluate) { () throws -> [ProbeStream: Double] in
            let streams = try world.together(exitCode: exitCode) { try ProbeStreams(probes, units, rank: world.rank) { try forward.embed([windows[$0]]) } }
            for block in plan.blocks.indices {
                try run(block, streams, units)
                try stop.check(after: "block \(block + 1)/\(plan.blocks.count) of the probes of units \(places.lowerBound + 1) to \(places.upperBound)")
            }
            return try compare(streams)
        }
        // Each number stands alone in its place, so adding zeros from the other ranks is exact.
        var sums = [Double](repeating: 0, count: units.count * windows.count)
        for (stream, sum) in own { if let unit = stream.unit { sums[unit * windows.count + stream.window] = sum } }
        try world.allReduceSum(&sums)
        let tokens = Double(windows.reduce(0) { $0 + $1.count })
        return units.indices.map { unit in sums[unit * windows.count..<(unit + 1) * windows.count].reduce(0, +) / tokens }
    }

    // MARK: - One block

    private func run(_ block: Int, _ streams: ProbeStreams, _ units: [BudgetUnit]) throws {
        streams.begin(block: block)
        let (blockPlan, own) = (plan.blocks[block], streams.streams(at: block))
        for (place, stage) in blockPlan.stages.prefix(blockPlan.block.denseStages.count).enumerated() {
            let compressed = own.filter { streams.isCompressed($0, block: block, stage: place) }
            try run(stage, own.filter { !compressed.contains($0) }, streams, tiles: nil)
            guard units.contains(where: { $0.block == block && $0.stages.contains(place) }) else { continue }
            let tiles = try world.together(exitCode: exitCode) { compressed.isEmpty ? [:] : try read(stage, block: block, place: place) }
            try run(stage, compressed, streams, tiles: tiles)
        }
        if let mixture = blockPlan.block.mixture { try run(mixture, block, streams) }
        for stream in own { forward.finishBlock(&streams[stream]) }
    }

    private func read(_ stage: StagePlan, block: Int, place: Int) throws -> [Int: EncodedTile] {
        try Dictionary(uniqueKeysWithValues: stage.tiles.indices.map { ($0, try committed.read(TileKey(block: block, stage: place, tile: $0))) })
    }

    /// Takes some of this rank's streams through a stage, with its compressed weights when `tiles` are given.
    private func run(_ plan: StagePlan, _ own: [ProbeStream], _ streams: ProbeStreams, tiles: [Int: EncodedTile]?) throws {
        let loaded = try weights.load(plan, tiles: tiles, pieces: own.isEmpty ? [] : plan.stage.pieces)
        try world.together(exitCode: exitCode) { () throws in
            guard !own.isEmpty else { return }
            let pass = SharedPass(forward: forward, group: group, stage: plan.stage, weights: loaded, context: try forward.context(of: plan.stage))
            for stream in own {
                try pass.run(try forward.input(of: plan.stage, streams[stream]), &streams[stream])
                clock.count(.evaluate, operations: plan.stage.operations(lengths: [windows[stream.window].count]))
            }
        }
    }

    /// Takes all streams through the experts of a block: the model as it is, then the units of a pass together, whose experts are dense, then those whose experts
    /// are compressed. Which streams go together follows from the plan alone.
    private func run(_ mixture: Mixture, _ block: Int, _ streams: ProbeStreams) throws {
        func isCompressed(_ stream: ProbeStream) -> Bool { streams.isCompressed(stream, block: block, stage: mixture.firstStage) }
        try run(mixture, block, streams, tiles: false) { $0.unit == nil }
        for first in stride(from: 0, to: streams.probes.units, by: Probes.unitsOfPass) {
            let pass = first..<first + Probes.unitsOfPass
            try run(mixture, block, streams, tiles: false) { stream in stream.unit.map { pass.contains($0) && !isCompressed(stream) } ?? false }
        }
        try run(mixture, block, streams, tiles: true, isCompressed)
    }

    private func run(_ mixture: Mixture, _ block: Int, _ streams: ProbeStreams, tiles: Bool, _ isTaken: (ProbeStream) -> Bool) throws {
        let taken = (0..<world.size).map { streams.streams(of: $0, at: block).filter(isTaken) }
        let all = taken.joined()
        guard !all.isEmpty else { return }
        var end = 0
        let batches = taken.map { own in
            end += own.count
            return end - own.count..<end
        }
        let pass = try MixturePass(
            plan.blocks[block].block, mixture, storage: ProbeBatches(streams, taken[world.rank]), lengths: all.map { windows[$0.window].count },
            batches: batches, forward: forward, world: world, clock: PhaseClock())
        try pass.run(Assignment(ranks: world.size).experts(costs: pass.routed.counts.totals.map(Double.init))) { expert in
            let places = mixture.stages(of: expert), stages = places.map { plan.blocks[block].stages[$0] }
            let loaded = try zip(places, stages).map { place, stage in
                try alone.load(stage, tiles: tiles ? read(stage, block: block, place: place) : nil, pieces: stage.stage.pieces)
            }
            return try ExpertWeights(stages.map(\.stage), weights: loaded, forward: forward)
        }
    }

    // MARK: - The end

    /// What predictions of this rank's windows lost: sums over their tokens.
    private func compare(_ streams: ProbeStreams) throws -> [ProbeStream: Double] {
        let linear = plan.architecture.head.linear, shares = streams.probes.shares(of: world.rank)
        let head = try weights.load(linear, isNeeded: !shares.isEmpty)
        return try world.together(exitCode: exitCode) { () throws -> [ProbeStream: Double] in
            guard let head = head?.packed() else { return [:] }
            var found: [ProbeStream: Double] = [:]
            for share in shares {
                let units = share.units.map { ProbeStream(window: share.window, unit: $0) }
                let reference = streams[ProbeStream(window: share.window, unit: nil)]
                clock.count(.evaluate, operations: 2 * Double((units.count + 1) * reference.tokens) * Double(linear.rows) * Double(linear.columns))
                let sums = try forward.divergences(of: units.map { streams[$0] }, from: reference, head: head)
                for (stream, sum) in zip(units, sums) { found[stream] = sum }
            }
            return found
        }
    }
}
