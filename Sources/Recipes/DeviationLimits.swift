// How far a run may depart from what the recipe asks for before that is an error.

/// Limits of what is counted and named in the report. None of them changes a byte of a result.
public struct DeviationLimits: Sendable, Equatable {
    /// Linears without a usable Hessian: rounded to nearest, or pruned by magnitude.
    public var fallbacks: Int
    /// The share of a linear's columns that saw nothing but zeros.
    public var deadColumns: Double
    /// The share of the linears with a Hessian whose damping had to be raised.
    public var raisedDampings: Double
    /// The share of a linear's scales that lie outside the normal numbers of the type in which the format stores them.
    public var clampedScales: Double

    public init(fallbacks: Int = 0, deadColumns: Double = 0.9, raisedDampings: Double = 0.1, clampedScales: Double = 0.01) {
        self.fallbacks = fallbacks
        self.deadColumns = deadColumns
        self.raisedDampings = raisedDampings
        self.clampedScales = clampedScales
    }

    static let keys = ["max_fallbacks", "max_dead_columns", "max_raised_dampings", "max_clamped_scales"]
}

extension DeviationLimits {
    init(_ top: YAMLMapping) throws(RecipeError) {
        self.init()
        fallbacks = try top.integer("max_fallbacks", in: 0...Int.max) ?? fallbacks
        deadColumns = try top.number("max_dead_columns", in: 0...1) ?? deadColumns
        raisedDampings = try top.number("max_raised_dampings", in: 0...1) ?? raisedDampings
        clampedScales = try top.number("max_clamped_scales", in: 0...1) ?? clampedScales
    }
}
