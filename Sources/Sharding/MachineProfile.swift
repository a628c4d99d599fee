// What a machine can do, as measured by `cleave bench`: machine.json, from which times are predicted.

internal import Foundation

/// Rates of one rank while all ranks of the measurement were at work.
public struct MachineProfile: Codable, Sendable, Equatable {
    /// The processor's name, and the ranks and threads with which it was measured.
    public var processor: String
    public var ranks: Int
    public var hosts: Int
    public var threads: Int
    public var rates: Rates

    /// Arithmetic in operations (multiplications and additions) a second, data in bytes a second, latency in seconds.
    public struct Rates: Codable, Sendable, Equatable {
        /// x W^T of operands in bf16 and fp32: [1024, 4096] [4096, 4096].
        public var productBFloat16 = 0.0
        public var productFloat = 0.0
        /// X^T X into the exact sum, from bf16 and fp32; n c^2 operations, as the lower half is never computed.
        public var gramBFloat16 = 0.0
        public var gramFloat = 0.0
        /// The fp64 factorisation; c^3 / 3 operations.
        public var factor = 0.0
        /// Solving a tile with the default method; r c^2 operations.
        public var solve = 0.0
        /// The sum over ranks of fp64 values to one rank, and the copy of fp32 values from one to all: bytes of the message.
        public var reduce = 0.0
        public var broadcast = 0.0
        /// One all-reduce of a single number.
        public var latency = 0.0
        /// Reading past the page cache, and writing with fsync.
        public var diskRead = 0.0
        public var diskWrite = 0.0

        public init() {}
    }

    public init(processor: String, ranks: Int, hosts: Int, threads: Int, rates: Rates) {
        self.processor = processor
        self.ranks = ranks
        self.hosts = hosts
        self.threads = threads
        self.rates = rates
    }

    /// - Throws: a `ProfileError` that names the file.
    public static func read(_ path: String) throws(ProfileError) -> MachineProfile {
        guard let data = FileManager.default.contents(atPath: path) else { throw ProfileError(description: "cannot read \(path); `cleave bench` writes it") }
        do {
            return try JSONDecoder().decode(MachineProfile.self, from: data)
        } catch {
            throw ProfileError(description: "\(path) is no machine profile of this version; `cleave bench` writes one: \(error)")
        }
    }
}

public struct ProfileError: Error, CustomStringConvertible {
    public let description: String
}
