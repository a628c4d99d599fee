// What of a stage differs between the dense model and the compressed one, and how far it shifts the weights of the stage's linears.

internal import Recipes
public import Transformers

/// What of a stage differs between the two models, for linears with `target: dense`.
///
/// The least-squares map from the compressed model's input to the difference says how weights have to change so as to make up for it.
public enum Mismatch: Sendable, Hashable, CaseIterable {
    /// The stage's input. Its map S, [columns, columns], shifts weights W by W S.
    case input
    /// The residual stream that the outputs join at once. Its map, [rows, columns], shifts each row of the weights by one of its own.
    case stream

    /// Columns of the difference, which are the rows of its map.
    public func columns(of stage: Stage) -> Int {
        switch self {
        case .input: stage.columns
        case .stream: stage.linears.first?.rows ?? 0
        }
    }

    /// Multiplications and additions of shifting so many rows of a linear's weights.
    package func shiftOperations(rows: Int, columns: Int) -> Double {
        switch self {
        case .input: 2 * Double(rows) * Double(columns) * Double(columns)
        case .stream: 2 * Double(rows) * Double(columns)
        }
    }
}

extension StagePlan {
    /// What the map of a mismatch is multiplied by where it shifts the weights of a linear; 0: it does not.
    public func strength(_ mismatch: Mismatch, ofLinear index: Int) -> Double {
        guard let treatment = linears[index].treatment, treatment.target == .dense else { return 0 }
        switch mismatch {
        case .input: return treatment.targetStrength
        case .stream:
            guard let strength = treatment.streamStrength, let scale = stage.effect.streamScale else { return 0 }
            return strength / Double(scale)
        }
    }

    /// Those that shift the weights of any linear, in the order in which they do.
    public var mismatches: [Mismatch] { Mismatch.allCases.filter { mismatch in linears.indices.contains { strength(mismatch, ofLinear: $0) != 0 } } }

    /// Whether any linear makes up for what differs, for which the stage's state in the dense model is needed too.
    public var needsDenseInput: Bool { !mismatches.isEmpty }
}
