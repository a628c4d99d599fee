// How much a calibration says: different tokens, and directions that the inputs of linears span.

internal import Checkpoints
internal import Recipes
internal import Reporting
internal import Sharding
internal import Texts
internal import Transformers

extension TokenSequences {
    /// Different ids among all tokens.
    var distinctCount: Int { sequences.reduce(into: Set<Int32>()) { $0.formUnion($1) }.count }
}

extension Job {
    /// What of the calibration a user should know before hours are spent on it; empty when there is nothing.
    public var calibrationRemarks: [String] {
        guard let tokens, plan.needsHessian else { return [] }
        return [remark(onDifferentTokens: tokens.distinctCount), plan.remarkOnTokensPerColumn].compactMap { $0 }
    }

    /// The input of the first block has no more directions than there are different tokens (with learned positions, a few more). Texts have far more than
    /// an eighth of the model's width, or of a vocabulary that is smaller than that.
    private func remark(onDifferentTokens distinct: Int) -> String? {
        let (width, vocabulary) = (plan.architecture.hiddenSize, plan.architecture.vocabularySize)
        guard distinct * 8 < min(width, vocabulary) else { return nil }
        return
            "the calibration holds only \(distinct) different token\(distinct == 1 ? "" : "s") (the model's width is \(width)): its inputs are too much alike to say which weights "
            + "matter, and the result may be worse than rounding to nearest; use more, or other, text"
    }
}

extension Plan {
    /// Calibration tokens for each column of a linear below which its Hessian is more of this text than of the language.
    private static let fewTokensPerColumn = 64

    /// That the widest linear gets few tokens for each of its columns; nil when it gets enough. How many an expert gets only the run can tell: its report has them.
    fileprivate var remarkOnTokensPerColumn: String? {
        let tokens = recipe.calibration?.tokens ?? 0
        let linears = blocks.flatMap(\.stages).filter { $0.stage.tokenShare == 1 }.flatMap(\.linears).filter { $0.treatment?.method.needsHessian == true }
        guard let widest = linears.map(\.linear).max(by: { $0.columns < $1.columns }), tokens < Self.fewTokensPerColumn * widest.columns else { return nil }
        return "the calibration has \(format(Double(tokens) / Double(widest.columns), digits: 1)) tokens for each of the \(widest.columns) columns of "
            + "\(widest.name): below \(Self.fewTokensPerColumn), more of them (`calibration.sequences`) mostly give a better result"
    }
}

extension StagePlan {
    /// In words, that the stage's inputs span too few directions for a Hessian that says which weights matter; nil when they span enough.
    func inputsAreAlike(_ found: StageFacts) -> String? {
        for (linear, facts) in zip(linears, found.linears) where linear.treatment?.method.needsHessian == true {
            guard let rank = facts?.effectiveRank, isLow(effectiveRank: rank) else { continue }
            return "the calibration's inputs of \(linear.linear.name) have an effective rank of \(format(rank, digits: 1)) in \(columns) columns: they are too "
                + "much alike to say which weights matter, and the result may be worse than rounding to nearest; use more, or other, text"
        }
        return nil
    }
}
