// The calibration batches of one rank on their way through the model.

package import MessagePassing
internal import Recipes
package import Reporting
package import Sharding
package import Texts
package import Transformers

/// Batches of whole sequences, taken through the model stage by stage.
///
/// What a stage multiplies its weights with is derived from a batch's state when it is asked for, so where batches rest in a file at most one batch's
/// input exists at a time.
package final class CalibrationBatches {
    private let forward: Forward
    private let clock: PhaseClock
    private let group: TensorGroup
    private let count: Int
    /// Tokens of every batch of all ranks.
    private let allLengths: [Int]
    /// Of each batch of each member of the group: the lengths of its sequences.
    private let lengths: [[[Int]]]
    private let current: any BatchStorage
    /// The states at the block's beginning; nil unless the block is to be run twice.
    private let beginning: (any BatchStorage)?

    /// Embeds the batches of rank `rank`.
    ///
    /// - Parameter scratch: a directory, unless activations are to stay in memory.
    package init(_ plan: Plan, _ tokens: TokenSequences?, group: TensorGroup, rank: Int, forward: Forward, scratch: String?, clock: PhaseClock) throws {
        self.forward = forward
        self.clock = clock
        self.group = group
        func ranges(of rank: Int) -> [Range<Int>] { tokens == nil ? [] : group.assignment.batches(plan, of: rank).map { plan.batches[$0] } }
        let batches = ranges(of: rank)
        count = batches.count
        allLengths = tokens.map { tokens in plan.batches.map { batch in batch.reduce(0) { $0 + tokens.sequences[$1].count } } } ?? []
        lengths = group.members.map { member in ranges(of: member).map { batch in batch.map { tokens?.sequences[$0].count ?? 0 } } }
        func storage() throws -> any BatchStorage {
            guard let scratch, let tokens else { return ResidentBatches(count: batches.count) }
            return try ScratchBatches(
                directory: scratch, tokens: batches.map { $0.reduce(0) { $0 + tokens.sequences[$1].count } },
                hiddenSize: plan.architecture.hiddenSize, valueColumns: plan.valueColumns,
                hasExperts: plan.architecture.hasExperts, compute: forward.compute)
        }
        current = try storage()
        beginning = plan.recipe.propagation == .block ? try storage() : nil
        guard let tokens else { return }
        try clock.measure(.forward) { () throws in
            for (index, batch) in batches.enumerated() { try current.store(forward.embed(batch.map { tokens.sequences[$0] }), index) }
        }
    }

    /// The pieces of a stage that this rank has to compute: none where there are no batches.
    package func pieces(_ stage: Stage) -> [Piece] {
        let isIdle = group.others(stage).isEmpty ? count == 0 : lengths.allSatisfy(\.isEmpty)
        return isIdle ? [] : group.pieces(stage)
    }

    /// Runs `body` on the input of a stage, batch after batch.
    package func forEachInput(of stage: Stage, _ body: (Operand) throws -> Void) throws {
        try forEachState(at: stage) { _, _, input in try body(input) }
    }

    private func forEachState(at stage: Stage, _ body: (_ index: Int, BatchState, _ input: Operand) throws -> Void) throws {
        for index in 0..<count {
            var state = try current.load(index)
            let input = try forward.input(of: stage, state)
            if current.keepsInputs {
                state.values[stage.input.value] = input
                try current.store(state, index)
            }
            try body(index, state, input)
        }
    }

    /// The blocks of X^T X that this rank sums for its group.
    package var share: (index: Int, count: Int) { (group.ranks.rank, group.ranks.size) }

    /// Runs `body` on the input of a stage for every batch of the group. Collective over the group.
    ///
    /// - Returns: why this rank could not go on; the others of its group have stopped as well.
    package func forEachGroupInput(of stage: Stage, _ body: (Operand) -> Void) throws -> (any Error)? {
        try forEachTurn { turn in
            turn.isOwn ? try forward.input(of: stage, current.load(turn.index)) : nil
        } pass: { turn, own in
            let input = own ?? Operand(uninitialized: forward.compute, turn.lengths.reduce(0, +), stage.columns)
            try input.withBytes { try group.ranks.broadcast($0, from: turn.owner) }
            body(input)
        }
    }

    /// Runs `body` on the input of a stage and on what differs from the same batch of the dense model, batch after batch.
    package func forEachMismatch(
        _ mismatch: Mismatch, of stage: Stage, beside dense: CalibrationBatches, _ body: (_ x: Operand, _ d: Operand) throws -> Void
    ) throws {
        try forEachState(at: stage) { index, state, x in
            try body(x, difference(mismatch, of: stage, state, x, beside: dense.current.load(index)))
        }
    }

    /// The same for every batch of the group. Collective over the group.
    ///
    /// - Returns: as `forEachGroupInput(of:_:)`.
    package func forEachGroupMismatch(
        _ mismatch: Mismatch, of stage: Stage, beside dense: CalibrationBatches, _ body: (_ x: Operand, _ d: Operand) -> Void
    ) throws -> (any Error)? {
        try forEachTurn { turn in
            guard turn.isOwn else { return nil as [Operand]? }
            let state = try current.load(turn.index), x = try forward.input(of: stage, state)
            return [x, try difference(mismatch, of: stage, state, x, beside: dense.current.load(turn.index))]
        } pass: { turn, own in
            let tokens = turn.lengths.reduce(0, +)
            let operands = own ?? [stage.columns, mismatch.columns(of: stage)].map { Operand(uninitialized: forward.compute, tokens, $0) }
            for operand in operands { try operand.withBytes { try group.ranks.broadcast($0, from: turn.owner) } }
            body(operands[0], operands[1])
        }
    }

    /// What differs in the dense model, less what is here: [tokens, mismatch.columns(of: stage)] in the compute type.
    private func difference(_ mismatch: Mismatch, of stage: Stage, _ own: BatchState, _ x: Operand, beside dense: BatchState) throws -> Operand {
        switch mismatch {
        case .input: try forward.input(of: stage, dense).difference(x, compute: forward.compute)
        case .stream: Operand.f32(dense.residual).difference(.f32(own.residual), compute: forward.compute)
        }
    }

    /// Takes every batch of the group through a stage; `endsBlock` also lets what the block holds back join the residual stream. Collective over the group.
    ///
    /// - Parameters:
    ///   - weights: of this rank's pieces.
    ///   - cache: is told the keys and values of these pieces; nil: nobody asks for them.
    /// - Returns: why this rank could not go on; the others of its group have stopped as well.
    package func advance(_ stage: Stage, weights: [[LinearWeights]], endsBlock: Bool, cache: CacheMagnitudes? = nil) throws -> (any Error)? {
        let (pieces, isShared) = (group.pieces(stage), !group.others(stage).isEmpty)
        return try clock.measure(.forward) { () throws in
            try forEachTurn { turn in
                let pass = SharedPass(forward: forward, group: group, stage: stage, weights: weights, context: try forward.context(of: stage, cache: cache))
                guard turn.isOwn else { return (pass, nil as (state: BatchState, input: Operand)?) }
                let state = try current.load(turn.index)
                return (pass, (state, try forward.input(of: stage, state)))
            } pass: { turn, begun in
                if case (let pass, (var state, let input)?) = begun {
                    try pass.run(input, &state)
                    if endsBlock { forward.finishBlock(&state) }
                    try current.store(state, turn.index)
                } else {
                    try begun.0.help(turn.owner, lengths: turn.lengths)
                }
                guard turn.isOwn || isShared else { return }
                clock.count(.forward, operations: stage.operations(of: pieces, lengths: turn.lengths))
            }
        }
    }

    /// Sends the tokens of all batches to the experts of a block. Collective over the world.
    package func pass(_ mixture: Mixture, _ block: Block, world: Communicator) throws -> MixturePass {
        try MixturePass(block, mixture, storage: current, lengths: allLengths, forward: forward, world: world, clock: clock)
    }

    /// Ends a block: what it holds back joins the residual stream.
    package func finishBlock() throws {
        try clock.measure(.forward) { () throws in
            for index in 0..<count {
                var state = try current.load(index)
                forward.finishBlock(&state)
                try current.store(state, index)
            }
        }
    }

    /// A batch of a rank of the group.
    private struct Turn {
        /// The rank of the group, and which of its batches.
        var owner: Int
        var index: Int
        var isOwn: Bool
        /// Of the batch's sequences.
        var lengths: [Int]
    }

    /// The batches of the group's ranks in turn: `begin` is what a rank does by itself, `pass` what all do together.
    ///
    /// - Returns: what this rank failed at, if it did. A rank that fails says so before the next turn, so that none waits for it.
    private func forEachTurn<Begun>(_ begin: (Turn) throws -> Begun, pass: (Turn, Begun) throws -> Void) throws -> (any Error)? {
        var failure: (any Error)?
        for index in 0..<(lengths.map(\.count).max() ?? 0) {
            for owner in lengths.indices where index < lengths[owner].count {
                let turn = Turn(owner: owner, index: index, isOwn: owner == group.ranks.rank, lengths: lengths[owner][index])
                var begun: Begun?
                if failure == nil {
                    do { begun = try begin(turn) } catch { failure = error }
                }
                guard try group.ranks.all(failure == nil), let ready = begun else { return failure }
                begun = nil
                do {
                    try pass(turn, ready)
                } catch let error as MPIError {
                    throw error
                } catch {
                    failure = error
                }
            }
        }
        return failure
    }

    /// Remembers where the batches are, when the block is to be run twice.
    package func beginBlock() throws {
        guard let beginning else { return }
        for index in 0..<count { try beginning.store(current.load(index).copy(), index) }
    }

    /// Takes the batches back to the block's beginning.
    package func rewind() throws {
        guard let beginning else { preconditionFailure("a block's beginning that was not kept") }
        for index in 0..<count { try current.store(beginning.load(index).copy(), index) }
    }
}

extension Plan {
    /// The most columns of values that rest together between stages; what experts leave stays with their owner.
    var valueColumns: Int { blocks.flatMap(\.block.denseStages).reduce(0) { max($0, $1.leftColumns) } }
}
