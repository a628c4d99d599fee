// How long a run will take: its costs at the rates that a machine was measured to have.

/// Seconds by phase, as the report of a run tells them apart. A stage's phases follow each other, and so do stages: nothing overlaps, and every rank waits
/// for the busiest one of each phase. Tokens, plan and evaluation are not in it.
public struct Prediction: Codable, Sendable, Equatable {
    public var ranks: Int
    /// The source's checksums, and the weights that every rank with batches makes from codes (or reads) before a stage runs forward.
    public var read = 0.0
    public var forward = 0.0
    /// Tokens to the ranks of their experts, and outputs back.
    public var exchange = 0.0
    public var hessian = 0.0
    /// Sums of Hessians, copies of the factor's panels, and waiting for those who make them.
    public var reduce = 0.0
    /// The arithmetic of the rank that has the most of it.
    public var factor = 0.0
    public var solve = 0.0
    /// Tiles to all ranks.
    public var gather = 0.0
    public var commit = 0.0
    public var merge = 0.0
    public var verify = 0.0

    public var total: Double { read + forward + exchange + hessian + reduce + factor + solve + gather + commit + merge + verify }
}

/// The sizes of what a run reads and writes besides its own work.
public struct FileVolumes: Codable, Sendable, Equatable {
    /// Bytes of the source's tensors.
    public var sourceBytes: Int
    /// Bytes of the result's tensors, and the files that hold them.
    public var outputBytes: Int
    public var outputFiles: Int
    /// Of the compressed linears in the result, scales and zero points included.
    public var bitsPerWeight: Double

    public init(sourceBytes: Int, outputBytes: Int, outputFiles: Int, bitsPerWeight: Double) {
        self.sourceBytes = sourceBytes
        self.outputBytes = outputBytes
        self.outputFiles = outputFiles
        self.bitsPerWeight = bitsPerWeight
    }
}
