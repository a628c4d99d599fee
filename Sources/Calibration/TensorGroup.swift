// The ranks of a node that take batches through a stage together, each with the weights of some of its pieces.

internal import LinearAlgebra
package import MessagePassing
package import Sharding
package import Transformers

/// A tensor-parallel group; of one rank, where every rank has all weights of a stage.
package struct TensorGroup {
    /// The group's ranks alone.
    let ranks: Communicator
    let assignment: Assignment
    /// This rank in the world.
    private let rank: Int

    /// Collective over the world.
    package init(_ world: Communicator, _ assignment: Assignment) throws {
        self.assignment = assignment
        rank = world.rank
        ranks = try world.split(part: world.rank / assignment.groupSize)
    }

    /// The group's ranks by their numbers in the world.
    var members: Range<Int> { assignment.group(of: rank) }

    /// The other members that run a stage forward with this one, by their ranks in the group.
    func others(_ stage: Stage) -> [Int] {
        assignment.shares(stage) ? (0..<ranks.size).filter { $0 != ranks.rank } : []
    }

    /// The pieces of a stage that a member computes.
    ///
    /// - Parameter member: a rank of the group; nil: this one.
    func pieces(_ stage: Stage, of member: Int? = nil) -> [Piece] {
        Array(stage.pieces[assignment.pieces(stage, of: member.map { members.lowerBound + $0 } ?? rank)])
    }
}

/// The forward pass of a stage on the ranks of a group. A batch's owner sends the stage's input, each rank computes its pieces of the result, and the owner takes
/// them in: outputs are gathered and never summed, so that every number is the one that a single rank would have computed.
package struct SharedPass {
    let forward: Forward
    let group: TensorGroup
    let stage: Stage
    /// Of each part of each piece of this rank.
    let weights: [[LinearWeights]]
    /// What the stage's effect needs besides.
    let context: EffectContext

    package init(forward: Forward, group: TensorGroup, stage: Stage, weights: [[LinearWeights]], context: EffectContext) {
        (self.forward, self.group, self.stage, self.weights, self.context) = (forward, group, stage, weights, context)
    }

    /// Takes a batch of this rank through the stage, with the help of the others.
    package func run(_ input: Operand, _ state: inout BatchState) throws {
        let (own, others) = (group.pieces(stage), group.others(stage))
        let values = forward.values(read: stage, state)
        let result = forward.begin(stage, &state)
        for tokens in forward.tokenRanges(of: stage, state.lengths) {
            let input = input.rows(tokens)
            if !others.isEmpty { try input.withBytes { try group.ranks.broadcast($0, from: group.ranks.rank) } }
            for member in others { try send(values, tokens, to: member) }
            if let columns = columns(of: own) {
                forward.compute(
                    own, weights: weights, context, input, values: windows(values, tokens, own), into: result.rows(tokens).columns(columns))
            }
            for member in others {
                guard let columns = columns(of: group.pieces(stage, of: member)) else { continue }
                let values = forward.output(of: stage, tokens: tokens.count, columns: columns.count)
                try values.withBytes { try group.ranks.receive($0, from: member) }
                result.take(values, tokens: tokens, columns: columns)
            }
        }
        try forward.end(stage, result, state)
    }

    /// Computes this rank's pieces for a batch of another.
    ///
    /// - Parameter lengths: of the batch's sequences.
    func help(_ owner: Int, lengths: [Int]) throws {
        guard !group.others(stage).isEmpty else { return }
        let own = group.pieces(stage)
        for tokens in forward.tokenRanges(of: stage, lengths) {
            let input = Operand(uninitialized: forward.compute, tokens.count, stage.columns)
            try input.withBytes { try group.ranks.broadcast($0, from: owner) }
            guard let columns = columns(of: own) else { continue }
            let read = own.reads.map { Operand(uninitialized: forward.compute, tokens.count, $0.columns.count) }
            for value in read { try value.withBytes { try group.ranks.receive($0, from: owner) } }
            let values = forward.output(of: stage, tokens: tokens.count, columns: columns.count)
            forward.compute(own, weights: weights, context, input, values: read, into: .value(values))
            try values.withBytes { try group.ranks.send($0, to: owner) }
        }
    }

    /// Sends what a member's pieces read besides the stage's input.
    private func send(_ values: [Operand], _ tokens: Range<Int>, to member: Int) throws {
        for window in windows(values, tokens, group.pieces(stage, of: member)) {
            let copy = Operand(uninitialized: forward.compute, window.rows, window.columns)
            copy.assign(window)
            try copy.withBytes { try group.ranks.send($0, to: member) }
        }
    }

    /// The columns of values that some pieces read, for some tokens.
    ///
    /// - Parameter values: what the whole stage reads.
    private func windows(_ values: [Operand], _ tokens: Range<Int>, _ pieces: [Piece]) -> [Operand] {
        zip(zip(pieces.reads, stage.effect.reads), values).map { parts, value in
            let first = parts.1.columns.lowerBound
            return value.rows(tokens).columns(parts.0.columns.lowerBound - first..<parts.0.columns.upperBound - first)
        }
    }

    /// The columns that consecutive pieces make.
    private func columns(of pieces: [Piece]) -> Range<Int>? {
        guard let first = pieces.first, let last = pieces.last else { return nil }
        return first.columns.lowerBound..<last.columns.upperBound
    }
}

extension Operand {
    /// Runs `body` on the bytes of a matrix without gaps between its rows.
    func withBytes(_ body: (UnsafeMutableBufferPointer<UInt8>) throws -> Void) throws {
        switch self {
        case .f32(let matrix): try matrix.withBytes { try body($0.bindMemory(to: UInt8.self)) }
        case .bf16(let matrix): try matrix.withBytes { try body($0.bindMemory(to: UInt8.self)) }
        }
    }
}
