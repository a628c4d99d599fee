// Kinds of work in a run, by which it says how much time is left.

/// What takes about as long for its work wherever it stands in a model.
public enum WorkKind: Hashable, Sendable {
    /// Hessian, factors and tiles of a stage.
    case solving(stage: String)
    /// The way of the batches through a stage.
    case passing(stage: String)
    /// The choice of experts for all tokens of a block.
    case routing
    /// Hessians, factors and tiles of experts.
    case solvingExperts
    /// The way of tokens through their experts.
    case passingExperts
}
