// The experts of a block in a run of compression: every rank works on experts of its own, a round of one each at a time.

package import Calibration
package import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Recipes
internal import Reporting
package import Sharding
internal import Transformers

/// Solves the experts of a block and takes the batches through them.
package struct MixtureRun {
    let plan: Plan
    let block: Int
    let pass: MixturePass
    /// The same mixture in the dense model, where linears are to give its outputs.
    let dense: MixturePass?
    let tools: ExpertTools
    /// Tokens of an expert that its owner keeps; others come again for each use.
    let mostKept: Int
    /// Whether outputs are needed: some stage after this block is still to be solved.
    package let isWorkAfter: Bool

    package init(plan: Plan, block: Int, pass: MixturePass, dense: MixturePass? = nil, tools: ExpertTools, mostKept: Int, isWorkAfter: Bool) {
        (self.plan, self.block, self.pass, self.dense, self.tools) = (plan, block, pass, dense, tools)
        (self.mostKept, self.isWorkAfter) = (mostKept, isWorkAfter)
    }

    private var world: Communicator { pass.world }
    private var mixture: Mixture { pass.mixture }
    private var blockPlan: BlockPlan { plan.blocks[block] }

    /// What a round leaves on its rank.
    package struct Result {
        /// By the places of stages in the block: what this rank solved or read.
        package var solved: [Int: SolvedStage] = [:]
        package var facts: [Int: StageFacts] = [:]

        package init() {}

        init(solved: [Int: SolvedStage], facts: [Int: StageFacts]) {
            (self.solved, self.facts) = (solved, facts)
        }
    }

    /// What each expert will cost, by the tokens that it has.
    package func costs() -> [ExpertCosts] {
        let others = dense?.routed.counts.totals
        return pass.routed.counts.totals.enumerated().map { expert, tokens in
            mixture.stages(of: expert).reduce(into: ExpertCosts()) { costs, place in
                let stage = blockPlan.stages[place]
                let missing = stage.tiles.indices.filter { !tools.committed.contains(TileKey(block: block, stage: place, tile: $0)) }
                costs.solving += plan.solvingWork(of: stage, tiles: missing, tokens: Double(tokens))
                if isWorkAfter { costs.passing += plan.passingWork(ofExpert: stage, tokens: Double(tokens + (others?[expert] ?? 0))) }
            }
        }
    }

    /// The experts of each rank, by what they will cost.
    package func owners(_ costs: [ExpertCosts]) -> [[Int]] { Assignment(ranks: world.size).experts(costs: costs.map { $0.solving + $0.passing }) }

    /// Tokens of the rank whose experts have the most, as a multiple of the mean over ranks; nil without tokens.
    package func balance(_ owned: [[Int]]) -> Double? {
        let totals = owned.map { $0.reduce(0) { $0 + pass.routed.counts.total($1) } }
        let sum = totals.reduce(0, +)
        return sum == 0 ? nil : Double(totals.max() ?? 0) * Double(owned.count) / Double(sum)
    }

    /// Works on all experts, a round at a time. Collective.
    ///
    /// - Parameters:
    ///   - solved: is told when the experts of a round are solved on all ranks.
    ///   - finished: is given what a round left.
    package func run(_ owned: [[Int]], solved: (_ round: [Int?]) -> Void, finished: (_ round: [Int?], Result) throws -> Void) throws {
        let lists = try ExpertLists(pass, plan.recipe.experts, minimum: plan.minimumTokens(ofExpertsIn: blockPlan))
        let shifting = (0..<mixture.experts).contains { shifts($0, lists).contains(true) }
        let largest = (d: shifting ? try dense.map(pass.largestDifference) ?? 0 : 0, x: pass.maxMagnitude)
        for round in MixturePass.rounds(owned) { try finished(round, try run(round, lists, largest, solved)) }
    }

    /// - Parameter largest: over the layer's tokens the largest |x|, and the largest |d| where it is needed.
    private func run(_ round: [Int?], _ lists: ExpertLists, _ largest: (d: Float, x: Float), _ solved: ([Int?]) -> Void) throws -> Result {
        var failure = FirstFailure()
        /// The experts of the round for which something holds, as every rank knows.
        func those(_ holds: (Int) -> Bool) -> [Int?] { round.map { expert in expert.flatMap { holds($0) ? $0 : nil } } }
        func isKept(_ expert: Int) -> Bool { lists.sums.counts.total(expert) <= mostKept }
        let expert = round[world.rank].map { expert in
            ExpertInHand(
                expert, block: block, plan: blockPlan, places: mixture.stages(of: expert), tokens: lists.sums.counts.total(expert), sums: sums(expert),
                fallback: lists.fallbacks[expert], keepsTokens: isKept(expert), maxMagnitudes: largest, shifts: dense.map { _ in shifts(expert, lists) },
                isRun: isWorkAfter, tools: tools)
        }
        func sumsUp(_ expert: Int, _ stage: Int) -> Bool { sums(expert)[stage] && lists.fallbacks[expert] == nil }
        func isShifted(_ expert: Int, _ stage: Int) -> Bool { shifts(expert, lists)[stage] }

        let summed = those { sumsUp($0, 0) || sumsUp($0, 1) && isKept($0) }
        let besides = those { isShifted($0, 0) || isShifted($0, 1) && isKept($0) }
        try visit(summed, beside: besides, lists.sums, &failure) { step, input, places in expert?.takeInputs(step, beside: input, places) }
        _ = failure.of { try expert?.solveFirst() }
        let again = those { sumsUp($0, 1) && !isKept($0) }, besidesAgain = those { isShifted($0, 1) && !isKept($0) }
        try visit(again, beside: besidesAgain, lists.sums, &failure) { step, input, _ in expert?.measure(step, beside: input) }
        _ = failure.of { try expert?.beginSecond() }
        try visit(again, beside: besidesAgain, lists.sums, &failure) { step, input, _ in expert?.takeActivated(step, beside: input) }
        _ = failure.of { try expert?.solveSecond() }
        // Others would wait for outputs that never come.
        try world.together(exitCode: exitCode) { try failure.rethrow() }
        solved(round)

        if isWorkAfter {
            func isReady(_ expert: Int) -> Bool { isKept(expert) && sumsUp(expert, 1) && lists.isRouted[expert] }
            try pass.forEachStep(round, pass.routed) { steps in
                let missing = steps.map { step in step.flatMap { isReady($0.expert) ? nil : $0 } }
                let input = missing.contains { $0 != nil } ? try pass.gather(missing, pass.routed, &failure) : nil
                let outputs = steps[world.rank].flatMap { step in failure.isSet ? nil : expert?.outputs(step.places, input) }
                try pass.giveBack(steps, outputs, &failure)
            }
            try world.together(exitCode: exitCode) { try failure.rethrow() }
            try passDense(round, expert?.dense)
        }
        guard let expert else { return Result() }
        let places = mixture.stages(of: expert.expert)
        var facts: [Int: StageFacts] = [:]
        for (place, found) in zip(places, expert.facts) {
            facts[place] = found
            facts[place]?.routedTokens = pass.routed.counts.total(expert.expert)
        }
        return Result(solved: Dictionary(uniqueKeysWithValues: zip(places, expert.solved)), facts: facts)
    }

    /// Whether each of an expert's stages needs its Hessian: some of its tiles are still to be solved. The same on every rank.
    private func sums(_ expert: Int) -> [Bool] {
        mixture.stages(of: expert).map { place in
            !plan.batches.isEmpty
                && !blockPlan.stages[place].tiles.indices.allSatisfy { tools.committed.contains(TileKey(block: block, stage: place, tile: $0)) }
        }
    }

    /// Whether each of an expert's stages makes up for what its inputs differ by from the dense model. The same on every rank.
    private func shifts(_ expert: Int, _ lists: ExpertLists) -> [Bool] {
        zip(mixture.stages(of: expert), sums(expert)).map { place, isSummed in
            dense != nil && isSummed && lists.fallbacks[expert] == nil && blockPlan.stages[place].needsDenseInput
        }
    }

    /// Brings the tokens of some experts to their owners, step by step.
    ///
    /// - Parameters:
    ///   - besides: those of the experts whose tokens come as they are in the dense model, too.
    ///   - body: is given the inputs of some places in both models.
    private func visit(
        _ experts: [Int?], beside besides: [Int?], _ lists: TokenLists, _ failure: inout FirstFailure, _ body: (Operand, Operand?, Range<Int>) -> Void
    ) throws {
        try pass.forEachStep(experts, lists) { steps in
            let input = try pass.gather(steps, lists, &failure)
            let others = zip(steps, besides).map { step, beside in beside == nil ? nil : step }
            let other = others.contains { $0 != nil } ? try dense?.gather(others, lists, &failure) : nil
            guard let input, let step = steps[world.rank], !failure.isSet else { return }
            body(input, other, step.places)
        }
    }

    /// Takes the tokens of the dense model through the experts of a round, with the weights of the checkpoint. Collective.
    private func passDense(_ round: [Int?], _ expert: DenseExpert?) throws {
        guard let dense else { return }
        try dense.run(round.map { $0.map { [$0] } ?? [] }) { number in
            guard let expert else { preconditionFailure("an expert of the dense model that is not here") }
            for place in mixture.stages(of: number) {
                tools.clock.count(.forward, operations: blockPlan.stages[place].passOperations(tokens: dense.routed.counts.total(number)))
            }
            return try expert.whole()
        }
    }

    /// Takes the batches through experts that are solved, with their compressed weights. Collective.
    ///
    /// - Parameter solved: of this rank's experts, by the places of stages.
    package func runSolved(_ owned: [[Int]], _ solved: [Int: SolvedStage]) throws {
        try pass.run(owned) { expert in
            let places = mixture.stages(of: expert)
            let weights = try places.map { place in
                let stage = blockPlan.stages[place]
                return try tools.weights.load(stage, tiles: solved[place]?.tiles ?? [:], pieces: stage.stage.pieces)
            }
            return try ExpertWeights(places.map { blockPlan.stages[$0].stage }, weights: weights, forward: tools.weights.forward)
        }
    }
}
