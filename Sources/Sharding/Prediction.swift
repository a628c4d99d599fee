// How long a run will take: its costs at the rates that a machine was measured to have.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// Seconds by phase, as the report of a run tells them apart. A stage's phases follow each other, and so do stages: nothing overlaps, and every rank waits
/// for the busiest one of each phase. Tokens, plan and evaluation are not in it.
public struct Prediction: Codable, Sendable, Equatable {
    public var ranks: Int
    /// The source's checksums, and the weights that every rank with batches makes from codes (or reads) before a stage runs forward.
    public var read = 0.0
    public var forward = 0.0
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

    public var total: Double { read + forward + hessian + reduce + factor + solve + gather + commit + merge + verify }
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

extension Plan {
    /// The time of a run on a number of ranks like those of the profile.
    ///
    /// - Parameter memory: what is kept in memory on that many ranks; nil: everything.
    /// - Returns: nil for several ranks when the profile is that of a single one, which sends no messages.
    public func prediction(ranks: Int, files: FileVolumes, on profile: MachineProfile, memory: MemoryPlan? = nil) -> Prediction? {
        guard let messages = MessageModel(profile, ranks: ranks) else { return nil }
        let work = Workload(plan: self, ranks: ranks, tensorParallel: memory?.tensorParallel ?? 1, profile: profile, messages: messages)
        var prediction = Prediction(ranks: ranks)
        for group in stageGroups {
            work.add(group, memory?.stages[group.place.block][group.place.stage] ?? .whole, to: &prediction)
        }
        let disk = DiskModel(profile)
        prediction.read += Double(files.sourceBytes) / disk.read(ranks: ranks)
        // A file of the result is written, and read again, by one rank.
        let writers = min(ranks, files.outputFiles)
        let output = Double(files.outputBytes)
        prediction.merge = output / disk.read(ranks: writers) + output / disk.write(ranks: writers)
        prediction.verify = output / disk.read(ranks: writers)
        return prediction
    }
}

/// What ranks read and write together: no more than the ranks of the measurement did, since a file system is shared.
struct DiskModel {
    private let rates: MachineProfile.Rates
    private let measured: Int

    init(_ profile: MachineProfile) {
        rates = profile.rates
        measured = profile.ranks
    }

    /// Bytes a second of some ranks together.
    func read(ranks: Int) -> Double { rates.diskRead * Double(min(ranks, measured)) }
    func write(ranks: Int) -> Double { rates.diskWrite * Double(min(ranks, measured)) }
}
