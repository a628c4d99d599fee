// What a machine can do, as measured by `cleave bench`: machine.json, from which times are predicted.

internal import Foundation

/// Rates of one rank while all ranks of the measurement were at work.
public struct MachineProfile: Codable, Sendable, Equatable {
    /// The processor's name, and the ranks and threads with which it was measured.
    public var processor: String
    public var ranks: Int
    public var hosts: Int
    public var threads: Int
    /// Whether the processor multiplies bf16 in hardware.
    public var multipliesBFloat16: Bool
    public var rates: Rates

    /// Ranks of a host, where there were several hosts.
    public var ranksOfHost: Int? { hosts > 1 ? (ranks + hosts - 1) / hosts : nil }

    /// Arithmetic in operations (multiplications and additions) a second, data in bytes a second, latency in seconds.
    public struct Rates: Codable, Sendable, Equatable {
        /// x W^T of operands in bf16 and fp32: [1024, 4096] [4096, 4096].
        public var productBFloat16 = 0.0
        public var productFloat = 0.0
        /// Causal attention of heads of 128 columns over 2048 tokens, with operands in bf16 and fp32; the operations are those of scores and contexts.
        public var attentionBFloat16 = 0.0
        public var attentionFloat = 0.0
        /// X^T X into the exact sum, from bf16 and fp32; n c^2 operations, as the lower half is never computed.
        public var gramBFloat16 = 0.0
        public var gramFloat = 0.0
        /// The factorisation, with products in fp32 (`compute: bf16`) and fp64 (`compute: f32`); c^3 / 3 operations.
        public var factorBFloat16 = 0.0
        public var factorFloat = 0.0
        /// Products, X^T X and the factorisation with fewer columns.
        public var narrow = Narrow()
        /// Solving a tile with the default method, errors of earlier columns gathered in bf16 and fp32: r c^2 operations, and r c weights whose ranges are
        /// searched.
        public var solveBFloat16 = 0.0
        public var solveFloat = 0.0
        public var search = 0.0
        /// Numbers a second that are added to others and become operands: what a stage does with its inputs and outputs besides products.
        public var elements = 0.0
        /// Weights a second that become operands of products: from 4-bit codes to fp32 and to bf16.
        public var dequantize = 0.0
        /// Bytes a second of a Hessian that are put in the factor's order.
        public var permute = 0.0
        /// Between hosts: sums of fp64 values, one message a host, to ranks of all hosts side by side, and a copy of fp32 values from one rank to one of
        /// each host: bytes of the values.
        public var reduce = 0.0
        public var broadcast = 0.0
        /// The same among the ranks of a host, in memory.
        public var reduceInHost = 0.0
        public var broadcastInHost = 0.0
        /// Bytes that a rank sends to those of other hosts, or of its own where there is one host, while all ranks send to all.
        public var exchange = 0.0
        /// One all-reduce of a single number.
        public var latency = 0.0
        /// Reading past the page cache, and writing with fsync.
        public var diskRead = 0.0
        public var diskWrite = 0.0

        public init() {}

        /// The rates with `narrowColumns` in place of `wideColumns`: what is not arithmetic weighs more there.
        public struct Narrow: Codable, Sendable, Equatable {
            public var productBFloat16 = 0.0
            public var productFloat = 0.0
            public var gramBFloat16 = 0.0
            public var gramFloat = 0.0
            public var factorBFloat16 = 0.0
            public var factorFloat = 0.0

            public init() {}
        }

        /// Columns (of products, rows as well) with which rates are measured.
        public static let (wideColumns, narrowColumns) = (4096, 1024)
    }

    public init(processor: String, ranks: Int, hosts: Int, threads: Int, multipliesBFloat16: Bool, rates: Rates) {
        self.processor = processor
        self.ranks = ranks
        self.hosts = hosts
        self.threads = threads
        self.multipliesBFloat16 = multipliesBFloat16
        self.rates = rates
    }

    /// - Throws: a `ProfileError` that names the file.
    /// - Returns: a profile whose rates of arithmetic and disk are above zero.
    public static func read(_ path: String) throws(ProfileError) -> MachineProfile {
        guard let data = FileManager.default.contents(atPath: path) else { throw ProfileError(description: "cannot read \(path); `cleave bench` writes it") }
        do {
            let profile = try JSONDecoder().decode(MachineProfile.self, from: data)
            if let problem = profile.problem { throw ProfileError(description: "\(path): \(problem); `cleave bench` writes a whole profile") }
            return profile
        } catch let error as ProfileError {
            throw error
        } catch {
            throw ProfileError(description: "\(path) is no machine profile of this version; `cleave bench` writes one: \(error)")
        }
    }

    /// What makes it unfit to predict from, in words.
    private var problem: String? {
        guard ranks >= 1, hosts >= 1, hosts <= ranks, threads >= 1 else { return "\(ranks) ranks on \(hosts) hosts with \(threads) threads" }
        let needed: [(String, Double)] = [
            ("productBFloat16", rates.productBFloat16), ("productFloat", rates.productFloat), ("gramBFloat16", rates.gramBFloat16),
            ("gramFloat", rates.gramFloat), ("attentionBFloat16", rates.attentionBFloat16), ("attentionFloat", rates.attentionFloat),
            ("factorBFloat16", rates.factorBFloat16), ("factorFloat", rates.factorFloat),
            ("solveBFloat16", rates.solveBFloat16), ("solveFloat", rates.solveFloat), ("search", rates.search), ("dequantize", rates.dequantize),
            ("narrow.productBFloat16", rates.narrow.productBFloat16), ("narrow.productFloat", rates.narrow.productFloat),
            ("narrow.gramBFloat16", rates.narrow.gramBFloat16), ("narrow.gramFloat", rates.narrow.gramFloat),
            ("narrow.factorBFloat16", rates.narrow.factorBFloat16), ("narrow.factorFloat", rates.narrow.factorFloat), ("elements", rates.elements),
            ("permute", rates.permute),
            ("diskRead", rates.diskRead), ("diskWrite", rates.diskWrite),
        ]
        return needed.first { !($0.1 > 0 && $0.1.isFinite) }.map { "the rate `\($0.0)` is \($0.1)" }
    }
}

public struct ProfileError: Error, CustomStringConvertible {
    public let description: String
}
