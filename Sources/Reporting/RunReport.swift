// What report.json says about a run.

public import Foundation
internal import Glibc

/// A finished run: what became of each linear and what each rank did.
public struct RunReport: Codable, Sendable {
    public var cleave: String
    public var model: String
    public var planHash: String
    public var calibration: CalibrationReport?
    public var linears: [LinearReport] = []
    /// Of each block with experts; nil where there are none.
    public var mixtures: [MixtureReport]?
    public var ranks: [RankReport] = []
    public var tiles: TileCounts
    public var size: SizeReport?
    /// The source model on the recipe's evaluation text, and the result on the same.
    public var before: EvaluationReport?
    public var after: EvaluationReport?
    public var wallSeconds: Double
    /// What a rank was to hold at most; beside the peaks of the ranks.
    public var memory: MemoryReport?
    /// The matrix products of one rank in operations a second, measured right after the run; nil when they were not.
    public var peakRate: Double?

    /// The time that the arithmetic would take at the measured peak, as a share of the wall time; nil without a measurement.
    public var shareOfPeak: Double? {
        guard let peakRate, wallSeconds > 0, !ranks.isEmpty else { return nil }
        let operations = ranks.reduce(0) { $0 + $1.operations.values.reduce(0, +) }
        return operations / (peakRate * Double(ranks.count)) / wallSeconds
    }

    public init(cleave: String, model: String, planHash: String, calibration: CalibrationReport?, tiles: TileCounts, wallSeconds: Double) {
        self.cleave = cleave
        self.model = model
        self.planHash = planHash
        self.calibration = calibration
        self.tiles = tiles
        self.wallSeconds = wallSeconds
    }

    /// The text of report.json.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    }

    /// The report of a report.json.
    public init(json: Data) throws {
        self = try JSONDecoder().decode(RunReport.self, from: json)
    }
}

/// The bound of a rank's memory, phase by phase.
public struct MemoryReport: Codable, Sendable, Equatable {
    /// What the recipe allows a rank, and the ranks of a host together; nil: no limit.
    public var limitBytes: Int?
    public var hostLimitBytes: Int?
    public var boundBytes: Int
    /// The bound of the host with the most ranks, of which what they share counts once; nil where each host has one.
    public var hostBoundBytes: Int?
    /// By phase.
    public var phases: [String: Int]
    /// Ranks that run each stage forward together; nil: none do.
    public var tensorParallel: Int?

    public init(limitBytes: Int?, hostLimitBytes: Int? = nil, boundBytes: Int, hostBoundBytes: Int? = nil, phases: [String: Int], tensorParallel: Int? = nil) {
        self.limitBytes = limitBytes
        self.hostLimitBytes = hostLimitBytes
        self.boundBytes = boundBytes
        self.hostBoundBytes = hostBoundBytes
        self.phases = phases
        self.tensorParallel = tensorParallel
    }
}

public struct CalibrationReport: Codable, Sendable, Equatable {
    public var source: String
    public var sequences: Int
    public var length: Int
    public var seed: UInt64
    /// XXH3 of the ids, little-endian int32.
    public var idsHash: String
    /// Different ids among the tokens.
    public var distinctTokens: Int

    public init(source: String, sequences: Int, length: Int, seed: UInt64, idsHash: String, distinctTokens: Int) {
        self.source = source
        self.sequences = sequences
        self.length = length
        self.seed = seed
        self.idsHash = idsHash
        self.distinctTokens = distinctTokens
    }
}

/// Tiles of the run: solved now, or found committed by an earlier one.
public struct TileCounts: Codable, Sendable {
    public var solved: Int
    public var reused: Int

    public init(solved: Int, reused: Int) {
        self.solved = solved
        self.reused = reused
    }
}

public struct SizeReport: Codable, Sendable, Equatable {
    public var sourceBytes: Int
    public var outputBytes: Int
    /// Bits of all parts of the compressed linears (codes, scales, zeros) per weight of theirs.
    public var bitsPerWeight: Double
    /// The same in the source.
    public var sourceBitsPerWeight: Double
    /// Bits of all parts of the routed experts, compressed or not, per weight of the experts of the model before `prune-experts`; nil where none were taken out.
    public var bitsPerOriginalExpertWeight: Double?

    public init(sourceBytes: Int, outputBytes: Int, bitsPerWeight: Double, sourceBitsPerWeight: Double, bitsPerOriginalExpertWeight: Double? = nil) {
        self.sourceBitsPerWeight = sourceBitsPerWeight
        self.bitsPerOriginalExpertWeight = bitsPerOriginalExpertWeight
        self.sourceBytes = sourceBytes
        self.outputBytes = outputBytes
        self.bitsPerWeight = bitsPerWeight
    }
}

public struct LinearReport: Codable, Sendable {
    public var name: String
    public var method: String
    /// nil for weights that were pruned, but not quantized.
    public var bits: Int?
    public var group: Int?
    /// The numbers to which its weights were rounded, such as fp8; nil for integers, and where they were not.
    public var type: String?
    /// Inputs.
    public var columns: Int
    /// The share of its weights that are zero; nil when none were pruned.
    public var sparsity: Double?
    /// The share of its ternary weights that are zero, and the bits of a weight in QMoE's codewords, 64 for each row included: what `format: qmoe` takes.
    /// nil of other types.
    public var zeros: Double?
    public var codewordBits: Double?
    /// The share of its weights that SpQR keeps as outliers, and the bits of a weight as its paper counts them. nil of other methods.
    public var outliers: Double?
    public var averageBits: Double?
    /// ||(W - Q) R||^2, where R R^T is the damped Hessian; nil without a Hessian.
    public var loss: Double?
    /// Square root of ||(W - Q) R||^2 / ||W R||^2 over the first 32 rows of every fourth tile.
    public var relativeOutputError: Double?
    /// The share of the Hessian's mean diagonal that was added to it.
    public var damping: Double?
    /// Factorisations it took; above 1 the damping was raised.
    public var attempts: Int?
    /// Columns whose inputs were always zero.
    public var deadColumns: Int?
    /// How many directions the inputs filled as evenly as uncorrelated ones would: the participation ratio of the eigenvalues of the Hessian of inputs
    /// scaled to one size.
    public var effectiveRank: Double?
    /// Scales that would have to lie outside the normal numbers of the type in which the format stores them, and are the nearest one; nil when there are none.
    public var clampedScales: Int?
    /// Why it was rounded to nearest, or pruned by magnitude, instead; nil when it was not.
    public var fallback: String?
    /// Calibration tokens that entered its Hessian.
    public var tokens: Int?
    /// The same for each of its columns: the fewer, the more the Hessian is of the calibration text alone.
    public var tokensPerColumn: Double?

    public init(name: String, method: String, bits: Int?, group: Int?, type: String? = nil, columns: Int) {
        self.name = name
        self.method = method
        self.bits = bits
        self.group = group
        self.type = type
        self.columns = columns
    }
}

public struct RankReport: Codable, Sendable {
    public var rank: Int
    public var host: String
    public var seconds: [String: Double]
    /// Multiplications and additions by phase.
    public var operations: [String: Double]
    public var bytesSent: Int
    /// Of `bytesSent`, what went into messages between hosts, and how many those were; the payload to which this rank contributed, once. Versions before
    /// 0.11.0 did not count them.
    public var bytesBetweenHosts: Int?
    public var messagesBetweenHosts: Int?
    /// Bytes of weights that were handed out to this rank.
    public var bytesRead: Int
    /// Bytes that the system fetched from storage for this rank, whatever for; what its cache of files holds for the node is fetched once. Nil where the
    /// system does not say.
    public var bytesFetched: Int?
    public var peakMemoryBytes: Int

    /// - Parameter peakMemoryBytes: the largest resident set until the run's end.
    public init(
        rank: Int, host: String, seconds: [Phase: Double], operations: [Phase: Double], bytesSent: Int, bytesBetweenHosts: Int = 0,
        messagesBetweenHosts: Int = 0, bytesRead: Int, peakMemoryBytes: Int
    ) {
        self.rank = rank
        self.host = host
        self.seconds = Dictionary(uniqueKeysWithValues: seconds.map { ($0.key.rawValue, $0.value) })
        self.operations = Dictionary(uniqueKeysWithValues: operations.map { ($0.key.rawValue, $0.value) })
        self.bytesSent = bytesSent
        self.bytesBetweenHosts = bytesBetweenHosts
        self.messagesBetweenHosts = messagesBetweenHosts
        self.bytesRead = bytesRead
        self.peakMemoryBytes = peakMemoryBytes
        bytesFetched = fetchedBytes()
    }
}

/// Bytes that the system has fetched from storage for this process; nil where it does not say.
private func fetchedBytes() -> Int? {
    let lines = (try? String(contentsOfFile: "/proc/self/io", encoding: .utf8))?.split(separator: "\n") ?? []
    return lines.first { $0.hasPrefix("read_bytes: ") }.flatMap { Int($0.dropFirst("read_bytes: ".count)) }
}

/// The resident set of this process now, in bytes; 0 where the system does not say.
public func residentBytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}

/// The largest resident set of this process so far, in bytes.
public func peakResidentBytes() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024  // Linux counts in KiB
}
