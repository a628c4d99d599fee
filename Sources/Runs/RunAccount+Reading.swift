// All that an output directory tells of its run, for a page.

public import Checkpoints
internal import Failures
internal import Foundation
public import Reporting
internal import Safetensors

extension RunAccount {
    /// Reads report.json where the run came to its end, else what its log tells; and the recipe, the platforms, and later evaluations.
    ///
    /// - Parameter isOver: whether the run whose lock is held has just come to its end.
    /// - Throws: `PipelineError` (66) when no run of Cleave has worked there; 65 when its report cannot be read.
    public init(of output: String, isOver: Bool = false) throws {
        let work = WorkDirectory(output: output)
        let status = try runStatus(of: output, isOver: isOver)
        let history = RunHistory(work)
        if let report = try Self.report(work, since: history.attempts.last?.began, state: status.state) {
            self.init(status: status, report: report, isComplete: true)
        } else {
            var report = RunReport(
                cleave: status.cleave ?? "?", model: status.model ?? "?", planHash: status.planHash ?? "?", calibration: nil,
                tiles: TileCounts(solved: 0, reused: status.tiles?.done ?? 0), wallSeconds: 0)
            report.linears = history.linears
            report.mixtures = history.mixtures.isEmpty ? nil : history.mixtures
            report.memory = history.attempts.last?.report.memory
            self.init(status: status, report: report, isComplete: false)
        }
        attempts = history.attempts
        platforms = RunRecord.read(work)?.platforms ?? []
        if let source = try? RecipeSource(work: work) { (recipe, overrides) = (source.yaml, source.overrides) }
        evaluations = SavedEvaluation.read(work)
    }

    /// The report of the last attempt; nil when it has not come so far.
    private static func report(_ work: WorkDirectory, since began: Date?, state: StatusReport.State) throws -> RunReport? {
        guard let data = FileManager.default.contents(atPath: work.report) else { return nil }
        let written = (try? FileManager.default.attributesOfItem(atPath: work.report)[.modificationDate] as? Date) ?? .distantPast
        // The file system's clock may be a little behind; what an attempt before has reported is of no use while one is at work.
        guard state == .finished || began.map({ written > $0.addingTimeInterval(-1) }) ?? true else { return nil }
        do {
            return try RunReport(json: data)
        } catch {
            throw PipelineError(.badInput, "\(work.report) is damaged: \(error)")
        }
    }
}

extension SavedEvaluation {
    /// Appends to the evaluations of a result; durable when this returns.
    public func save(_ work: WorkDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        try AppendedFile(path: work.evaluations).append([UInt8](encoder.encode(self)) + [UInt8(ascii: "\n")])
    }

    /// Those of a result, the oldest first; lines that are cut off or damaged are passed over.
    static func read(_ work: WorkDirectory) -> [SavedEvaluation] {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        let lines = FileManager.default.contents(atPath: work.evaluations)?.split(separator: UInt8(ascii: "\n")) ?? []
        return lines.compactMap { try? decoder.decode(SavedEvaluation.self, from: $0) }
    }
}
