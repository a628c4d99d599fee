// What a job reports: what was done, and what the ranks measured.

internal import Checkpoints
internal import Foundation
internal import MessagePassing
internal import Models
internal import Recipes
public import Reporting
internal import Safetensors
internal import Texts

extension Job {
    /// Gathers what the ranks measured and writes report.json.
    /// - Returns: the report, on the coordinator alone.
    public func report(
        _ outcome: CompressionOutcome, size: SizeReport?, before: EvaluationReport?, after: EvaluationReport?, wallSeconds: Double,
        peakMemoryBytes: Int, memory: MemoryReport?
    ) throws -> RunReport? {
        let own = RankReport(
            rank: world.rank, host: Session.hostName, seconds: clock.seconds, operations: clock.operations, bytesSent: world.bytesSent,
            bytesBetweenHosts: world.bytesBetweenNodes, messagesBetweenHosts: world.messagesBetweenNodes,
            bytesRead: model.checkpoint.bytesRead, peakMemoryBytes: peakMemoryBytes)
        let ranks = try world.gather([UInt8](JSONEncoder().encode(own)))
        guard world.isCoordinator else { return nil }
        var report = RunReport(
            cleave: cleaveVersion, model: recipe.model, planHash: planHash,
            calibration: tokens.flatMap { tokens in
                recipe.calibration.map {
                    CalibrationReport(
                        source: $0.sourceText, sequences: $0.sequences, length: $0.length, seed: $0.seed, idsHash: tokens.hash,
                        distinctTokens: tokens.distinctCount)
                }
            }, tiles: outcome.tiles, wallSeconds: wallSeconds)
        report.linears = outcome.linears
        report.mixtures = outcome.mixtures.isEmpty ? nil : outcome.mixtures
        report.ranks = try ranks.map { try JSONDecoder().decode(RankReport.self, from: Data($0)) }
        report.memory = memory
        report.size = size
        report.before = before
        report.after = after
        return report
    }

    /// Writes report.json; the coordinator's task.
    public func save(_ report: RunReport) throws {
        _ = try AtomicFile.write(report.json(), to: work.report)
    }

    /// Adds what a merge has made to the report of the run that committed its tiles, where that is there; the coordinator's task.
    public func addToReport(_ size: SizeReport) throws {
        guard let data = FileManager.default.contents(atPath: work.report), var report = try? RunReport(json: data), report.planHash == planHash else { return }
        report.size = size
        try save(report)
    }
}
