// The calibration text and how sequences are cut from it.

/// The calibration text and how it is cut.
public struct Calibration: Sendable, Equatable {
    /// At least one.
    public var sources: [CalibrationSource]
    /// Number of sequences.
    public var sequences: Int
    /// Tokens of a sequence.
    public var length: Int
    /// Sequences of each source to pass over first, when ids are taken in order.
    public var skip: Int
    /// nil: `random` for a text, `consecutive` for ids.
    public var sampling: Sampling?
    public var seed: UInt64
    /// Whether each document of a text gets what the tokenizer's post-processor puts around one, such as a token of its beginning.
    public var specialTokens: Bool
    /// Sequences of a batch; nil lets the plan choose.
    public var batch: Int?

    public var tokens: Int { sequences * length }

    package init(
        sources: [CalibrationSource], sequences: Int, length: Int, skip: Int, sampling: Sampling?, seed: UInt64, specialTokens: Bool = false, batch: Int?
    ) {
        self.sources = sources
        self.sequences = sequences
        self.length = length
        self.skip = skip
        self.sampling = sampling
        self.seed = seed
        self.specialTokens = specialTokens
        self.batch = batch
    }
}

/// Where sequences begin in the ids of a text.
public enum Sampling: String, Sendable, CaseIterable {
    /// One after the other from the start.
    case consecutive
    /// At places drawn with the seed, without overlap.
    case random
}

extension Calibration {
    static let keys = ["source", "sequences", "length", "skip", "sampling", "seed", "special_tokens", "batch"]
    /// Of sequences, and of tokens of a sequence; far beyond use, and small enough that no product of the two overflows.
    public static let most = 1 << 24

    init(_ mapping: YAMLMapping) throws(RecipeError) {
        sources = try CalibrationSource.list(mapping, "source")
        sequences = try mapping.integer("sequences", in: 1...Self.most) ?? 128
        length = try mapping.integer("length", in: 2...Self.most) ?? 2048
        skip = try mapping.integer("skip", in: 0...Self.most) ?? 0
        sampling = try mapping.choice("sampling")
        seed = UInt64(try mapping.integer("seed", in: 0...Int.max) ?? 0)
        specialTokens = try mapping.boolean("special_tokens") ?? false
        batch = try mapping.integer("batch", in: 1...Self.most)
        if let index = sequencesOfSources.firstIndex(of: 0) {
            throw mapping.error(
                "source",
                "\(sources[index].path) gets none of the \(sequences) sequences by its weight \(sources[index].weight); leave it out, or raise its weight or "
                    + "`calibration.sequences`")
        }
        guard sampling != .random || skip == 0 else { throw mapping.error("skip", "`skip` has no meaning with `sampling: random`") }
    }
}

extension Calibration {
    /// How many sequences each source gives: its share by weight, the largest remainders rounded up, the earlier of equal ones first.
    public var sequencesOfSources: [Int] {
        let total = sources.reduce(0) { $0 + $1.weight }
        let shares = sources.map { Double(sequences) * $0.weight / total }
        var counts = shares.map { Int($0) }
        let byRemainder = shares.indices.sorted { (shares[$0] - Double(counts[$0]), -$0) > (shares[$1] - Double(counts[$1]), -$1) }
        for index in byRemainder.prefix(max(0, sequences - counts.reduce(0, +))) { counts[index] += 1 }
        return counts
    }

    /// Its files for a report, each with its number of sequences where they are several.
    public var sourceText: String {
        guard sources.count > 1 else { return sources.first?.path ?? "" }
        return zip(sources, sequencesOfSources).map { "\($0.path) (\($1))" }.joined(separator: ", ")
    }
}
