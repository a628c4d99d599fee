// What a run keeps in memory, and the bound of each phase that follows.

/// What a rank keeps in memory. None of it changes a result.
public struct MemoryPlan: Sendable {
    /// Whether the activations of all of a rank's batches are in memory; else they are in a scratch file.
    public var keepsActivations: Bool
    /// Ranks of a node that run a stage's forward pass together, each with a part of its weights; 1: every rank by itself.
    public var tensorParallel: Int
    /// By block and stage.
    public var stages: [[StageResidency]]
    /// Tokens of an expert that its owner keeps while it works on it; those of others come again for each use.
    public var expertTokens = Int.max
    /// Units whose sensitivities are measured side by side.
    public var probesAtOnce = 1
    /// The bound of each phase.
    public var phases: [Phase]
    /// Of a host with the most ranks.
    public var host = Host(ranks: 1, phase: Phase(name: "embed", bytes: 0, stage: nil))
    /// Of the bound, what is left to matrices: those in use, and freed ones that are kept for their next use.
    public var matrices: Int

    /// A phase and the most that a rank holds in it.
    public struct Phase: Sendable, Equatable, Codable {
        public var name: String
        public var bytes: Int
        /// The stage that needs the most; nil where it makes no difference.
        public var stage: String?
    }

    /// The bound of a host: what its ranks share counts once.
    public struct Host: Sendable, Equatable {
        public var ranks: Int
        /// The one that needs the most, with the bytes of all ranks.
        public var phase: Phase
        public var bytes: Int { phase.bytes }
        /// In words.
        var holder: String { ranks == 1 ? "a host of one rank" : "a host of \(ranks) ranks" }
    }

    package init(keepsActivations: Bool, tensorParallel: Int = 1, stages: [[StageResidency]], phases: [Phase], beside: Int = 0) {
        self.keepsActivations = keepsActivations
        self.tensorParallel = tensorParallel
        self.stages = stages
        self.phases = phases
        matrices = max((phases.map(\.bytes).max() ?? 0) - beside, 0)
    }

    public var bound: Int { phases.map(\.bytes).max() ?? 0 }
}
