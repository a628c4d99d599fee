// The perplexity of a model on a text, also where it is no number that JSON knows.

/// The perplexity of a model on a text.
///
/// In JSON a perplexity that is not finite is `null`, and `notFinite` says what it is: `infinite` or `not a number`.
public struct EvaluationReport: Sendable {
    /// exp of the mean negative log-likelihood of the predicted tokens.
    public var perplexity: Double
    /// Tokens of all windows.
    public var tokens: Int
    public var windows: Int
    /// Tokens of a window.
    public var length: Int
    /// With the predictions of another model on the same text; nil when there was none.
    public var comparison: PredictionComparison?

    public init(perplexity: Double, tokens: Int, windows: Int, length: Int) {
        self.perplexity = perplexity
        self.tokens = tokens
        self.windows = windows
        self.length = length
    }

    /// What the perplexity is when it is not finite; nil when it is.
    public var notFinite: String? { perplexity.isFinite ? nil : perplexity.isNaN ? "not a number" : "infinite" }
}

/// How far the predictions of a model are from those of another, the reference; means over the tokens of all windows.
public struct PredictionComparison: Codable, Sendable, Equatable {
    /// The Kullback-Leibler divergence from the reference's predictions, in nats of a token.
    public var divergence: Double
    /// The share of tokens whose most likely follower is the same in both.
    public var sameChoices: Double

    public init(divergence: Double, sameChoices: Double) {
        self.divergence = divergence
        self.sameChoices = sameChoices
    }
}

extension EvaluationReport: Codable {
    private enum CodingKeys: String, CodingKey {
        case perplexity, notFinite, tokens, windows, length, comparison
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let kind = try container.decodeIfPresent(String.self, forKey: .notFinite)
        self.init(
            perplexity: try container.decodeIfPresent(Double.self, forKey: .perplexity) ?? (kind == "infinite" ? .infinity : .nan),
            tokens: try container.decode(Int.self, forKey: .tokens), windows: try container.decode(Int.self, forKey: .windows),
            length: try container.decode(Int.self, forKey: .length))
        comparison = try container.decodeIfPresent(PredictionComparison.self, forKey: .comparison)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if perplexity.isFinite { try container.encode(perplexity, forKey: .perplexity) } else { try container.encodeNil(forKey: .perplexity) }
        try container.encodeIfPresent(notFinite, forKey: .notFinite)
        try container.encode(tokens, forKey: .tokens)
        try container.encode(windows, forKey: .windows)
        try container.encode(length, forKey: .length)
        try container.encodeIfPresent(comparison, forKey: .comparison)
    }
}
