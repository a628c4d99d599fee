// Tokens on their way to the ranks of their experts, and outputs on their way back.

internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding
internal import Transformers

/// What goes to one rank in a step: some places of the list of an expert.
package struct ExpertStep: Equatable {
    package var expert: Int
    package var places: Range<Int>
}

/// Moves rows between the batches of all ranks and the ranks that work on experts. Every method is collective.
///
/// A step takes for each rank some places of an expert's list; who has the tokens of those places follows from the counts, so that no message says what is
/// in another.
struct ExpertExchange {
    let world: Communicator
    let forward: Forward
    let mixture: Mixture
    let storage: any BatchStorage
    /// The numbers of each rank's batches among all.
    let batches: [Range<Int>]
    let clock: PhaseClock
    /// Is told the outputs of experts as their tokens get them; nil: nothing is.
    var scores: ExpertScores? = nil

    private var hidden: Int { mixture.router.linear.columns }
    private var own: Range<Int> { batches[world.rank] }

    /// The places of a step whose tokens a rank has.
    private func places(_ step: ExpertStep, _ lists: TokenLists, on rank: Int) -> Range<Int> {
        lists.counts.places(of: batches[rank], expert: step.expert).clamped(to: step.places)
    }

    /// The rows of a step of this rank whose tokens a rank has.
    private func rows(_ step: ExpertStep, _ lists: TokenLists, of rank: Int) -> Range<Int> {
        let places = places(step, lists, on: rank)
        return places.lowerBound - step.places.lowerBound..<places.upperBound - step.places.lowerBound
    }

    /// Calls `body` with every rank to which this one sends and the one from which it receives meanwhile, itself first.
    private func forEachPeer(_ body: (_ destination: Int, _ source: Int) throws -> Void) rethrows {
        for distance in 0..<world.size { try body((world.rank + distance) % world.size, (world.rank + world.size - distance) % world.size) }
    }

    /// Where a batch of this rank has tokens of a step: places of the expert's list, and which of the batch's tokens for that expert they are.
    private func part(_ step: ExpertStep, _ lists: TokenLists, batch: Int) -> (places: Range<Int>, tokens: Range<Int>) {
        let all = lists.counts.places(of: batch..<batch + 1, expert: step.expert)
        let places = all.clamped(to: step.places)
        return (places, places.lowerBound - all.lowerBound..<places.upperBound - all.lowerBound)
    }

    /// Brings the inputs of each rank's step to it.
    ///
    /// - Parameters:
    ///   - steps: of each rank; nil where it takes none.
    ///   - target: of this rank's step: [places, hidden].
    /// - Throws: also what this rank's storage throws; the exchange is then done all the same, and what went to the others may be anything.
    func gather(_ steps: [ExpertStep?], _ lists: TokenLists, into target: Operand?) throws {
        var failure: (any Error)?
        let outgoing = steps.map { step in step.map { Operand(uninitialized: forward.compute, places($0, lists, on: world.rank).count, hidden) } }
        for batch in own where steps.contains(where: { step in step.map { !part($0, lists, batch: batch).places.isEmpty } ?? false }) {
            do {
                let input = try input(batch - own.lowerBound)
                for (step, rows) in zip(steps, outgoing) {
                    guard let step, let rows else { continue }
                    let (places, tokens) = part(step, lists, batch: batch)
                    guard !places.isEmpty else { continue }
                    let start = places.lowerBound - self.places(step, lists, on: world.rank).lowerBound
                    let list = lists.own[batch - own.lowerBound].tokens(of: step.expert)
                    let weights = lists.own[batch - own.lowerBound].inputWeights
                    clock.measure(.exchange) {
                        let chosen = list[list.startIndex + tokens.lowerBound..<list.startIndex + tokens.upperBound]
                        input.copyRows(chosen, into: rows, from: start)
                        if let weights { rows.rows(start..<start + chosen.count).scaleRows(chosen.map { weights[Int($0), step.expert] }) }
                    }
                }
            } catch {
                failure = error
            }
        }
        try clock.measure(.exchange) { () throws in
            try forEachPeer { destination, source in
                let incoming = steps[world.rank].flatMap { step in target.map { $0.rows(rows(step, lists, of: source)) } }
                guard destination != world.rank else {
                    if let incoming, let rows = outgoing[destination] { incoming.assign(rows) }
                    return
                }
                try exchange(outgoing[destination], to: destination, incoming, from: source)
            }
        }
        if let failure { throw failure }
    }

    /// Brings outputs back to their tokens, whose sums they join.
    ///
    /// - Parameters:
    ///   - steps: of each rank; nil where it has no outputs.
    ///   - outputs: of this rank's step: [places, hidden].
    /// - Throws: also what this rank's storage throws, and for outputs that are not finite; the exchange is then done all the same.
    func giveBack(_ steps: [ExpertStep?], _ lists: TokenLists, _ outputs: Matrix<Float>?) throws {
        var incoming = steps.map { step in step.map { Matrix<Float>(uninitialized: places($0, lists, on: world.rank).count, hidden) } }
        try clock.measure(.exchange) { () throws in
            try forEachPeer { destination, source in
                let outgoing = steps[world.rank].flatMap { step in outputs.map { $0.rows(rows(step, lists, of: destination)) } }
                guard destination != world.rank else {
                    if let outgoing { incoming[source] = outgoing }
                    return
                }
                try exchange(outgoing.map(Operand.f32), to: destination, incoming[source].map(Operand.f32), from: source)
            }
        }
        for batch in own where steps.contains(where: { step in step.map { !part($0, lists, batch: batch).places.isEmpty } ?? false }) {
            let number = batch - own.lowerBound
            let state = try storage.load(number)
            guard let sum = state.expertSum else { preconditionFailure("outputs of experts for a batch that has none") }
            for (step, rows) in zip(steps, incoming) {
                guard let step, let rows else { continue }
                let (places, tokens) = part(step, lists, batch: batch)
                guard !places.isEmpty else { continue }
                let start = places.lowerBound - self.places(step, lists, on: world.rank).lowerBound
                let (list, weights) = (lists.own[number].tokens(of: step.expert), lists.own[number].weights(of: step.expert))
                let outputs = rows.rows(start..<start + places.count)
                let isFine = clock.measure(.forward) {
                    sum.add(
                        outputs, tokens: list[list.startIndex + tokens.lowerBound..<list.startIndex + tokens.upperBound],
                        weights: weights[weights.startIndex + tokens.lowerBound..<weights.startIndex + tokens.upperBound])
                }
                guard isFine else {
                    throw PipelineError(
                        .badInput,
                        "outputs of expert \(step.expert) behind \(mixture.router.linear.name) are not finite, or out of all proportion to the residual stream: the model "
                            + "overflows on this text, or its weights are damaged (with `compute: bf16`, try `compute: f32`)")
                }
                scores?.add(outputs, batch: batch, expert: step.expert)
            }
            try storage.store(state, number)
        }
    }

    /// The mixture's input of a batch of this rank: [tokens, hidden].
    func input(_ number: Int) throws -> Operand {
        try clock.measure(.forward) { () throws in try forward.input(of: mixture, storage.load(number)) }
    }

    private func exchange(_ outgoing: Operand?, to destination: Int, _ incoming: Operand?, from source: Int) throws {
        try withBytes(outgoing) { outgoing in
            try withBytes(incoming) { incoming in try world.exchange(UnsafeBufferPointer(outgoing), to: destination, incoming, from: source) }
        }
    }

    private func withBytes(_ operand: Operand?, _ body: (UnsafeMutableBufferPointer<UInt8>) throws -> Void) throws {
        guard let operand, operand.rows > 0 else { return try body(UnsafeMutableBufferPointer(start: nil, count: 0)) }
        try operand.withBytes(body)
    }
}

extension Operand {
    /// Multiplies each row by a factor, in fp32.
    fileprivate func scaleRows(_ factors: [Float]) {
        parallelFor(rows, inUnitsOf: 16) { range in
            let scaled = rows(range).widened().copy()
            for (row, factor) in zip(0..<scaled.rows, factors[range]) {
                for column in 0..<scaled.columns { scaled[row, column] *= factor }
            }
            rows(range).store(scaled)
        }
    }

    /// Copies some rows, in their order, into those of `target` from `start` on.
    fileprivate func copyRows(_ indices: ArraySlice<Int32>, into target: Operand, from start: Int) {
        parallelFor(indices.count, inUnitsOf: 16) { range in
            for position in range {
                let row = Int(indices[indices.startIndex + position])
                target.rows(start + position..<start + position + 1).assign(rows(row..<row + 1))
            }
        }
    }
}
