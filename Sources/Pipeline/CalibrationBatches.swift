// The calibration batches of one rank on their way through the model.

internal import MessagePassing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// Batches of whole sequences, taken through the model stage by stage.
///
/// What a stage multiplies its weights with is derived from a batch's state whenever it is asked for (a norm, little beside the products), so at
/// most one batch's input exists at a time.
final class CalibrationBatches {
    private let forward: Forward
    private let clock: PhaseClock
    private let count: Int
    private let current: any BatchStorage
    /// The states at the block's beginning; nil unless the block is to be run twice.
    private let beginning: (any BatchStorage)?

    /// Embeds the batches of rank `rank`.
    ///
    /// - Parameter scratch: a directory, unless activations are to stay in memory.
    init(_ plan: Plan, _ tokens: TokenSequences?, assignment: Assignment, rank: Int, forward: Forward, scratch: String?, clock: PhaseClock) throws {
        self.forward = forward
        self.clock = clock
        let batches = tokens == nil ? [] : assignment.batches(plan, of: rank).map { plan.batches[$0] }
        count = batches.count
        func storage() throws -> any BatchStorage {
            guard let scratch, let tokens else { return ResidentBatches(count: batches.count) }
            return try ScratchBatches(
                directory: scratch, tokens: batches.map { $0.reduce(0) { $0 + tokens.sequences[$1].count } },
                hiddenSize: plan.architecture.hiddenSize, carriedColumns: plan.carriedColumns, compute: forward.compute)
        }
        current = try storage()
        beginning = plan.recipe.propagation == .block ? try storage() : nil
        guard let tokens else { return }
        try clock.measure(.forward) { () throws in
            for (index, batch) in batches.enumerated() { try current.store(forward.embed(batch.map { tokens.sequences[$0] }), index) }
        }
    }

    var isEmpty: Bool { count == 0 }

    /// Runs `body` on the input of a stage, batch after batch.
    func forEachInput(of stage: Stage, _ body: (Activation) throws -> Void) throws {
        for index in 0..<count { try body(forward.input(of: stage, current.load(index))) }
    }

    /// Takes every batch through a stage; `endsBlock` also lets what the block holds back join the residual stream.
    func advance(_ stage: Stage, weights: [LinearWeights], endsBlock: Bool) throws {
        try clock.measure(.forward) { () throws in
            for index in 0..<count {
                var state = try current.load(index)
                try forward.apply(stage, weights: weights, to: forward.input(of: stage, state), &state)
                clock.count(.forward, operations: stage.operations(lengths: state.lengths))
                if endsBlock { forward.finishBlock(&state) }
                try current.store(state, index)
            }
        }
    }

    /// Remembers where the batches are, when the block is to be run twice.
    func beginBlock() throws {
        guard let beginning else { return }
        for index in 0..<count { try beginning.store(current.load(index).copy(), index) }
    }

    /// Takes the batches back to the block's beginning.
    func rewind() throws {
        guard let beginning else { preconditionFailure("a block's beginning that was not kept") }
        for index in 0..<count { try current.store(beginning.load(index).copy(), index) }
    }
}

extension Plan {
    /// Columns of the widest activations that a stage leaves for the next one.
    var carriedColumns: Int {
        blocks.flatMap(\.stages).reduce(0) { widest, stage in stage.stage.input == .carried ? max(widest, stage.columns) : widest }
    }
}
