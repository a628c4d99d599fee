// Sequences of token ids, cut from a calibration or evaluation source.

internal import Failures
public import Recipes
internal import Safetensors

/// Token ids cut into sequences of equal length.
public struct TokenSequences: Codable, Sendable, Equatable {
    public var sequences: [[Int32]]
    /// XXH3 of all ids as little-endian int32, one sequence after the other.
    public var hash: String

    init(_ sequences: [[Int32]]) {
        self.sequences = sequences
        var checksum = Checksum()
        for sequence in sequences {
            sequence.map(\.littleEndian).withUnsafeBytes { checksum.update($0) }
        }
        hash = checksum.hexDigest
    }

    /// Tokens of all sequences.
    package var tokenCount: Int { sequences.reduce(0) { $0 + $1.count } }
}

extension TokenSequences {
    /// Loads, cuts and samples the sequences of a calibration. Those of several sources alternate, so that each beginning has about the shares of the whole.
    ///
    /// - Parameters:
    ///   - tokenizer: path of the model's tokenizer.json, used for texts.
    ///   - vocabularySize: ids must lie below it.
    public static func load(_ calibration: Calibration, tokenizer: String, vocabularySize: Int) throws -> TokenSequences {
        let counts = calibration.sequencesOfSources
        // (place among all as a share of the source's own sequences, the sequence), source by source.
        var placed: [(place: Double, sequence: [Int32])] = []
        for (index, (source, count)) in zip(calibration.sources, counts).enumerated() {
            // The first source's own seed is the calibration's; others draw elsewhere.
            let seed = calibration.seed &+ UInt64(index) &* 0x9e37_79b9_7f4a_7c15
            let sequences = try load(source, count: count, seed: seed, calibration, tokenizer: tokenizer, vocabularySize: vocabularySize)
            placed += sequences.enumerated().map { ((Double($0.offset) + 0.5) / Double(count), $0.element) }
        }
        // Sorting keeps the order of equal ones: that of the sources.
        return TokenSequences(placed.sorted { $0.place < $1.place }.map(\.sequence))
    }

    private static func load(
        _ file: CalibrationSource, count: Int, seed: UInt64, _ calibration: Calibration, tokenizer: String, vocabularySize: Int
    ) throws -> [[Int32]] {
        let source = try TokenSource(path: file.path, field: file.field)
        let sampling = calibration.sampling ?? (source.isText ? .random : .consecutive)
        // Random sampling looks at everything; consecutive sequences need only the beginning.
        let needed = sampling == .consecutive ? (calibration.skip + count) * calibration.length : Int.max
        if calibration.specialTokens, !source.isText {
            throw PipelineError(
                .badInput,
                "`calibration.special_tokens` is of documents of text, and \(file.path) holds ids: make them with these tokens, or leave the key out")
        }
        let ids = try source.ids(
            tokenizer: tokenizer, addSpecialTokens: calibration.specialTokens, atLeast: needed, vocabularySize: vocabularySize)
        let available = ids.count / calibration.length
        let wanted = count + (sampling == .consecutive ? calibration.skip : 0)
        guard available >= wanted else {
            throw PipelineError(
                .badInput,
                "\(file.path) has \(ids.count) tokens, enough for \(available) sequences of \(calibration.length); \(wanted) are asked for "
                    + "(mend `calibration.sequences`, `length` or `skip`, or give a longer source)")
        }
        let chosen =
            switch sampling {
            case .consecutive: Array(calibration.skip..<calibration.skip + count)
            case .random: sample(count, of: available, seed: seed)
            }
        return try chosen.map { try ids[$0 * calibration.length..<($0 + 1) * calibration.length] }
    }

    /// The non-overlapping windows of an evaluation, from the start; the tokens after the last whole window are left out.
    ///
    /// - Parameter field: of records, or the column of a table, that holds the text; nil: `text`.
    public static func windows(
        source path: String, field: String? = nil, length: Int, count: Int?, tokenizer: String, vocabularySize: Int
    ) throws -> TokenSequences {
        let needed = count.map { $0 * length } ?? Int.max
        let ids = try TokenSource(path: path, field: field).ids(tokenizer: tokenizer, atLeast: needed, vocabularySize: vocabularySize)
        let available = ids.count / length
        guard available >= max(count ?? 1, 1) else {
            throw PipelineError(
                .badInput, "\(path) has \(ids.count) tokens, enough for \(available) windows of \(length); \(count ?? 1) are asked for")
        }
        return TokenSequences(try (0..<(count ?? available)).map { try ids[$0 * length..<($0 + 1) * length] })
    }

    /// `count` different numbers below `total`, drawn with a seed, in the order drawn.
    static func sample(_ count: Int, of total: Int, seed: UInt64) -> [Int] {
        var generator = SplitMix64(state: seed)
        var numbers = Array(0..<total)
        for index in 0..<count {
            numbers.swapAt(index, Int.random(in: index..<total, using: &generator))
        }
        return Array(numbers.prefix(count))
    }
}

/// A generator whose numbers depend on the seed alone (Steele, Lea, Flood 2014).
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
