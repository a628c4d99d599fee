// What is done about the experts of a mixture, of which each sees its own share of the calibration's tokens.

/// How experts are calibrated.
public struct ExpertSettings: Sendable, Equatable {
    /// Which tokens enter the Hessians of an expert.
    public enum Calibrate: String, Sendable, CaseIterable {
        /// Those that the router sends to it.
        case routed
        /// All. The outputs are those of the routed tokens all the same.
        case all
    }

    /// What is done with an expert that too few tokens go to.
    public enum Starved: String, Sendable, CaseIterable {
        /// It borrows tokens of the whole layer, evenly spaced, for its Hessians alone.
        case blend
        /// It is rounded to nearest, or pruned by magnitude, and counts as a fallback.
        case rtn
        /// The run ends with an error.
        case error
    }

    public var calibrate: Calibrate
    public var starved: Starved
    /// Tokens below which an expert is starved; nil: as many as its linears have columns.
    public var minimumTokens: Int?

    public init(calibrate: Calibrate = .routed, starved: Starved = .blend, minimumTokens: Int? = nil) {
        self.calibrate = calibrate
        self.starved = starved
        self.minimumTokens = minimumTokens
    }

    static let keys = ["calibrate", "starved", "minimum_tokens"]
}

extension ExpertSettings {
    init(_ mapping: YAMLMapping) throws(RecipeError) {
        self.init()
        calibrate = try mapping.choice("calibrate") ?? calibrate
        starved = try mapping.choice("starved") ?? starved
        minimumTokens = try mapping.integer("minimum_tokens", in: 0...Calibration.most)
    }
}
