// Why no plan can be derived.

public import Recipes

/// A recipe that does not fit the model.
public enum PlanError: Error, CustomStringConvertible {
    case unusedRule(pattern: String, line: Int?, example: String)
    case unusedIgnore(pattern: String, example: String)
    case unmatchable(key: String, line: Int?, PatternError)
    case nothingToDo
    case pattern(String, columns: Int, linear: String)
    case sparsityBlock(Int, columns: Int, linear: String)
    case unfitColumns(String, columns: Int, linear: String)
    case unfitGroups(Int, columns: Int, linear: String)
    case tooLarge(String)
    case mixedExperts(String, String)
    case mixedStack(String, String)
    case mixedParts(String, String)
    case denseTarget(String)
    case unusedStream(String)
    case cache(String)
    case mixedChoices(String, String)
    case nothingToChoose
    case budget(String)

    /// What somebody may have meant who wrote a regular expression.
    private static func hint(_ pattern: String) -> String {
        let looksRegular = !pattern.hasPrefix("re:") && (pattern.contains(".*") || pattern.contains { "^$\\(|+".contains($0) })
        return looksRegular ? "; a regular expression begins with `re:`" : ""
    }

    public var description: String {
        switch self {
        case .unusedRule(let pattern, let line, let example):
            "the rule `\(pattern)`\(line.map { " (line \($0) of the recipe)" } ?? "") takes no linear of this model: mend its pattern, or remove it "
                + "if earlier rules are meant to take all (a linear is named like `\(example)`\(Self.hint(pattern)))"
        case .unusedIgnore(let pattern, let example):
            "the ignore pattern `\(pattern)` matches no linear of this model (a linear is named like `\(example)`\(Self.hint(pattern)))"
        case .unmatchable(let key, let line, let error): "key `\(key)`\(line.map { " (line \($0) of the recipe)" } ?? ""): \(error)"
        case .pattern(let pattern, let columns, let linear):
            "`sparsity: \(pattern)` needs a number of columns that \(pattern.split(separator: ":").last ?? "") divides, but \(linear) has \(columns); "
                + "give it a rule of its own, or another pattern"
        case .sparsityBlock(let width, let columns, let linear):
            "`sparsity_block: \(width)` needs a number of columns that \(width) divides, but \(linear) has \(columns); give it a rule of its own, or smaller blocks"
        case .unfitColumns(let type, let columns, let linear):
            "`type: \(type)` needs a number of columns that 32 divides, but \(linear) has \(columns): name it under `ignore`"
        case .unfitGroups(let group, let columns, let linear):
            "`method: spqr` has whole groups, but \(group) does not divide the \(columns) columns of \(linear): take another `group`, or name it under `ignore`"
        case .tooLarge(let what): "\(what): there is no such run; look for a mistaken number"
        case .mixedExperts(let first, let other):
            "\(first) and \(other) would be stored in two ways, but vLLM and transformers take all experts of a block for alike (gate, up and down too): give "
                + "them one method, type, bits, group and symmetry, or `format: dense`"
        case .mixedStack(let first, let other):
            "\(first) and \(other) would be stored in two types, but GGUF has one tensor for this linear of all experts of a block: give them one type, or name all "
                + "of them under `ignore`"
        case .mixedParts(let first, let other):
            "\(first) and \(other) would be stored in two ways, but clients make one linear of them: give them one type, or `format: dense`"
        case .denseTarget(let why): "`target: dense` \(why)"
        case .unusedStream(let linear):
            "`stream_strength` acts on linears whose outputs are added to the residual stream at once, and none that it is given for is one (such as \(linear)): "
                + "give it to attention's output or to `down` where the model adds these as they are, neither normalised nor at the block's end, or leave it out"
        case .cache(let why): "`kv_cache` is not there for this model: \(why); leave it out"
        case .mixedChoices(let first, let other):
            "\(first) and \(other) get their choice together, since clients make one linear of such, but the recipe gives them different choices: give them one "
                + "rule, or a setting of their own in place of the budget"
        case .nothingToChoose: "the recipe has a budget, but no linear of the model is left for it to choose for"
        case .budget(let problem): problem
        case .nothingToDo: "every linear of the model is ignored or without a rule: there is nothing to compress"
        }
    }
}
