// The forward pass and X^T X shared by the ranks of tensor-parallel groups: arithmetic and messages of the busiest rank.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// What the ranks of a group do for each other's batches.
struct GroupShares {
    private let plan: Plan
    private let assignment: Assignment
    private let length: Int
    /// Sequences of each rank, of the group that has the most, and of the rank that has the most.
    private let sequences: [Int]
    private let groupSequences: Int
    private let ownSequences: Int

    init(_ plan: Plan, _ assignment: Assignment) {
        self.plan = plan
        self.assignment = assignment
        length = plan.recipe.calibration?.length ?? 0
        sequences = (0..<assignment.ranks).map { rank in assignment.batches(plan, of: rank).reduce(0) { $0 + plan.batches[$1].count } }
        ownSequences = sequences.max() ?? 0
        var most = 0
        for first in stride(from: 0, to: assignment.ranks, by: assignment.groupSize) {
            most = max(most, sequences[assignment.group(of: first)].reduce(0, +))
        }
        groupSequences = most
    }

    /// The share of a stage's weights with the member that has the most.
    func share(_ stage: StagePlan) -> Double {
        let rows = stage.linears.reduce(0) { $0 + $1.linear.rows }
        return Double(busiest(stage).reduce(0) { $0 + $1.rows }) / Double(max(rows, 1))
    }

    /// Multiplications and additions of the busiest member for all batches of its group: of the linears, and of what becomes of their outputs.
    func operations(_ stage: StagePlan) -> (products: Double, effects: Double) {
        let pieces = busiest(stage), tokens = tokens(stage)
        let all = tokens / Double(max(length, 1)) * stage.stage.operations(of: pieces, lengths: [length])
        let products = tokens * 2 * Double(pieces.reduce(0) { $0 + $1.rows }) * Double(stage.columns) * stage.stage.tokenShare
        return (products, max(all - products, 0))
    }

    /// Tokens that pass the busiest member's part of a stage.
    func tokens(_ stage: StagePlan) -> Double { Double(length * (assignment.shares(stage.stage) ? groupSequences : ownSequences)) }

    /// Bytes that each rank sends while a stage is run forward: the input of its own batches to the others, and its part of the result of theirs.
    func forwardBytes(_ stage: StagePlan) -> [Double] {
        guard assignment.shares(stage.stage) else { return Array(repeating: 0, count: assignment.ranks) }
        let own = operandBytes(columns: stage.columns) + readBytes(stage), others = resultBytes(stage) * share(stage)
        return sequences.indices.map { rank in
            let group = sequences[assignment.group(of: rank)].reduce(0, +)
            return Double(length) * (Double(sequences[rank]) * own + Double(group - sequences[rank]) * others)
        }
    }

    /// Tokens whose X^T X the busiest member sums, in whole matrices: a share of the blocks for all tokens of the group.
    var hessianTokens: Double { Double(length * groupSequences) / Double(assignment.groupSize) }

    /// Bytes of an operand of so many columns of each rank's own batches, which goes to the others of its group.
    func operandBytesSent(columns: Int) -> [Double] {
        sequences.map { assignment.groupSize > 1 ? Double(length * $0) * operandBytes(columns: columns) : 0 }
    }

    /// Bytes of an operand of so many columns of all batches of a group, which it sends round.
    func operands(columns: Int) -> Double {
        assignment.groupSize > 1 ? Double(length * groupSequences) * operandBytes(columns: columns) : 0
    }

    /// Bytes of all inputs that a group sends round for the forward pass, and of all results that owners receive.
    func traffic(_ stage: StagePlan) -> (inputs: Double, results: Double) {
        guard assignment.shares(stage.stage) else { return (0, 0) }
        let tokens = Double(length * groupSequences)
        return (operands(columns: stage.columns) + tokens * readBytes(stage), tokens * resultBytes(stage) * (1 - 1 / Double(assignment.groupSize)))
    }

    private func busiest(_ stage: StagePlan) -> ArraySlice<Piece> {
        let pieces = stage.stage.pieces
        let shares = (0..<assignment.groupSize).map { pieces[assignment.pieces(stage.stage, of: $0)] }
        return shares.max { $0.reduce(0) { $0 + $1.rows } < $1.reduce(0) { $0 + $1.rows } } ?? pieces[...]
    }

    private func operandBytes(columns: Int) -> Double { Double(columns * plan.operands(plan.recipe.compute).byteCount) }

    /// What the other members' pieces read of a token's values.
    private func readBytes(_ stage: StagePlan) -> Double {
        Double(stage.stage.readColumns * plan.operands(plan.recipe.compute).byteCount) * (1 - 1 / Double(assignment.groupSize))
    }

    private func resultBytes(_ stage: StagePlan) -> Double {
        let destination = stage.stage.destination
        let columns = if case .value(let value) = destination { value.columns } else { stage.linears[0].linear.rows }
        return Double(columns * destination.numberBytes(plan.operands(plan.recipe.compute)))
    }
}
