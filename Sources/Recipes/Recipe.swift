// What a user asks for: model, calibration, which linears get which method, output format.

public import Compression
public import Transformers

/// A user's recipe, with every default filled in.
public struct Recipe: Sendable, Equatable {
    /// Hugging Face model directory.
    public var model: String
    /// Directory of the result; an unfinished run keeps its work in a folder inside it.
    public var output: String
    /// nil when no rule needs Hessians and none was given.
    public var calibration: Calibration?
    /// A text on which source and result are compared at the end; nil: no evaluation.
    public var evaluation: Evaluation?
    /// The other model of the same function that is compressed; nil: the model as it is.
    public var equivalence: Equivalence?
    public var propagation: Propagation
    public var compute: Compute
    /// What the widths of rules with choices are held to; nil: no rule has any.
    public var budget: Budget?
    /// First match wins.
    public var rules: [Rule]
    /// Patterns of linears that keep their weights; they win over rules.
    public var ignore: [Pattern]
    public var format: OutputFormat
    /// How clients quantize keys and values of earlier tokens; nil: nothing is said of it.
    public var cache: KeyValueCache?
    /// Of `format: gguf`.
    public var gguf: GGUFSettings
    /// Bytes of an output shard, a tensor larger than that excepted.
    public var maxShardSize: Int
    /// Where nothing else is asked for.
    public static let defaultShardSize = 5_000_000_000

    /// Bytes that a rank may hold; nil: no limit. Never changes the result.
    public var memoryPerRank: Int?
    /// The same of all ranks of a host together.
    public var memoryPerHost: Int?
    /// How weights are read. Never changes the result.
    public var weights: WeightReading
    public var limits: DeviationLimits
    public var experts: ExpertSettings
}

/// A text whose perplexity is measured.
public struct Evaluation: Sendable, Equatable {
    /// As in `Calibration`.
    public var source: String
    /// As in `CalibrationSource`.
    public var field: String?
    /// Tokens of a window.
    public var length: Int
    /// Windows from the start; nil: all whole ones.
    public var sequences: Int?
    public var compute: Compute

    public init(source: String, field: String? = nil, length: Int, sequences: Int?, compute: Compute) {
        self.source = source
        self.field = field
        self.length = length
        self.sequences = sequences
        self.compute = compute
    }
}

/// What the Hessians of later linears see.
public enum Propagation: String, Sendable, CaseIterable {
    /// Compressed predecessors, inside the block too.
    case stage
    /// Compressed blocks before, dense weights inside the block.
    case block
    /// Dense weights everywhere.
    case none
}

/// The format of the result.
public enum OutputFormat: String, Sendable, Codable, CaseIterable {
    case compressedTensors = "compressed-tensors"
    /// The first version of GPTQ's format: zero points are stored less one.
    case gptq
    case gptqV2 = "gptq_v2"
    /// 4-bit codes in the order of Marlin's kernel.
    case marlin
    /// Dequantized weights.
    case dense
    /// Blocks of llama.cpp.
    case gguf
    /// Codewords of ternary experts.
    case qmoe
    /// 3-bit codes, scales in 3 bits, and outliers, as SpQR's kernel takes them.
    case spqr

    /// The type in which the format stores scales; nil: the weight's own.
    public var scaleType: ScaleType? {
        switch self {
        case .gptq, .gptqV2, .marlin, .gguf, .spqr: .f16
        case .qmoe: .bf16
        case .compressedTensors, .dense: nil
        }
    }

    /// Whether words of the format's tensors hold numbers of a row beside those of all others: a tensor is then whole before its first byte is written.
    public var laysRowsBesideEachOther: Bool { [.gptq, .gptqV2, .marlin].contains(self) }

    /// Whether what vLLM makes of several linears matters to the format: others hold plain weights, or are for other servers.
    public var isServedByVLLM: Bool { ![.dense, .gguf, .qmoe, .spqr].contains(self) }

    /// Whether clients take all experts of a block for alike.
    public var hasOneSchemeOfExperts: Bool { ![.dense, .qmoe, .spqr].contains(self) }

    /// Whether tensors are as long as the weights make them: QMoE's codewords, SpQR's outliers.
    public var hasEntries: Bool { self == .qmoe || self == .spqr }

    /// The least zero point that the format can hold.
    public var leastZero: Int { self == .gptq ? 1 : 0 }
}

/// How the weights of a model are read.
public enum WeightReading: String, Sendable, CaseIterable {
    /// Files are mapped by every rank that needs them; the processes of a node share the pages.
    case mapped
    /// Positioned reads by every rank that needs them.
    case pread
    /// Mapped; what all ranks need is read by one, which sends it to the others.
    case broadcast
}

/// What is done to the linears whose names match.
public struct Rule: Sendable, Equatable {
    public var match: Pattern
    /// Where there are choices, the probed one.
    public var treatment: Treatment
    /// Those among which the budget chooses, those that take the least room first; empty where the width is given.
    public var choices: [Treatment]
    /// The line of the recipe, for messages; nil when it came from the command line.
    public var line: Int?

    /// Of so many choices, the one with which sensitivities are measured: the middle one, since what it does to a model is neither nothing nor ruin.
    public static func probed(_ choices: Int) -> Int { (choices - 1) / 2 }
}
