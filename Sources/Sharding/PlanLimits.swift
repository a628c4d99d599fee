// Sizes beyond any model and any run: mistaken numbers, which would overflow or never end, are refused before anything is derived from them.

internal import Recipes
public import Transformers

/// The most that a plan is made for.
public enum PlanLimits {
    /// Of a job.
    public static let ranks = 1 << 20
    /// Of a source, and tokens of a sequence.
    public static let sequences = Calibration.most
    /// Inputs of a linear: Hessians have their square.
    private static let columns = 1 << 20
    /// Outputs of all linears together; tiles are in proportion.
    private static let rows = 0x1p31
    private static let weights = 0x1p50
    /// Tokens times the width of a model: the values of an activation.
    private static let values = 0x1p50

    /// - Throws: `PlanError.tooLarge`
    public static func check(_ architecture: Architecture) throws(PlanError) {
        var (rows, weights) = (0.0, Double(architecture.vocabularySize) * Double(architecture.hiddenSize))
        for index in 0..<architecture.blockCount {
            for stage in architecture.block(index).stages {
                for linear in stage.linears {
                    guard linear.columns <= columns else {
                        throw .tooLarge("\(linear.name) has \(linear.columns) columns by config.json, more than \(columns)")
                    }
                    rows += Double(linear.rows)
                    weights += Double(linear.rows) * Double(linear.columns)
                }
            }
        }
        guard rows <= Self.rows, weights <= Self.weights else {
            throw .tooLarge("config.json describes a model of \(weights) weights in \(rows) rows of linears")
        }
    }

    /// - Throws: `PlanError.tooLarge`
    static func check(_ recipe: Recipe, _ architecture: Architecture) throws(PlanError) {
        let stages = architecture.blockCount == 0 ? [] : architecture.block(0).stages
        let width = stages.flatMap(\.linears).reduce(architecture.hiddenSize) { max($0, $1.rows, $1.columns) }
        let runs = [
            ("calibration", recipe.calibration.map { ($0.sequences, $0.length) }),
            ("evaluation", recipe.evaluation.map { ($0.sequences ?? 1, $0.length) }),
        ]
        for (key, size) in runs {
            guard let (count, length) = size else { continue }
            guard Double(count) * Double(length) * Double(width) <= values else {
                throw .tooLarge("`\(key)` asks for \(count) sequences of \(length) tokens, \(Double(count) * Double(length)) in all")
            }
        }
    }
}
