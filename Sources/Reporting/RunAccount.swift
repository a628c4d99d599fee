// All that is known of a run, finished or not: what its page shows.

public import Foundation

/// A run's report beside its standing, its recipe and what was measured later.
public struct RunAccount: Sendable {
    public var status: StatusReport
    /// Of a run that has not reached its end: what its log tells, without times and sizes.
    public var report: RunReport
    /// Whether `report` is that of a run that came to its end.
    public var isComplete: Bool
    /// The text of the recipe, and what the command line changed in it.
    public var recipe: String?
    public var overrides: [String] = []
    /// Processors and libraries of the ranks.
    public var platforms: [String] = []
    public var attempts: [RunHistory.Attempt] = []
    public var evaluations: [SavedEvaluation] = []

    public init(status: StatusReport, report: RunReport, isComplete: Bool) {
        self.status = status
        self.report = report
        self.isComplete = isComplete
    }
}

/// An evaluation of a result after its run, as `cleave eval --save` keeps it.
public struct SavedEvaluation: Codable, Sendable {
    /// UTC.
    public var time: Date
    public var data: String
    public var compute: String
    /// The model with whose predictions it was compared.
    public var reference: String?
    public var result: EvaluationReport

    public init(time: Date = .now, data: String, compute: String, reference: String?, result: EvaluationReport) {
        self.time = time
        self.data = data
        self.compute = compute
        self.reference = reference
        self.result = result
    }
}
