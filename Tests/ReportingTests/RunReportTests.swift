// The report: what goes into report.json and the closing tables.

import Foundation
import Reporting
import Testing

@Suite struct RunReportTests {
    private var report: RunReport {
        var report = RunReport(
            cleave: "1", model: "models/a", planHash: "00ff",
            calibration: CalibrationReport(source: "text.txt", sequences: 2, length: 3, seed: .max, idsHash: "ab", distinctTokens: 5),
            tiles: TileCounts(solved: 3, reused: 1),
            wallSeconds: 75)
        report.ranks = [
            RankReport(
                rank: 0, host: "a", seconds: [.forward: 3, .solve: 1], operations: [.forward: 6e9], bytesSent: 10, bytesRead: 1500, peakMemoryBytes: 3_000_000),
            RankReport(
                rank: 1, host: "b", seconds: [.forward: 1, .solve: 3], operations: [.forward: 3e9], bytesSent: 20, bytesBetweenHosts: 5,
                messagesBetweenHosts: 2, bytesRead: 500, peakMemoryBytes: 2_000_000),
        ]
        var fallback = LinearReport(name: "layers.0.q", method: "gptq", bits: 4, group: 128, columns: 256)
        fallback.fallback = "no inputs"
        var damped = LinearReport(name: "layers.0.k", method: "gptq", bits: 4, group: 128, columns: 256)
        (damped.damping, damped.attempts) = (0.1, 2)
        report.linears = [fallback, damped, LinearReport(name: "layers.0.v", method: "rtn", bits: 8, group: -1, columns: 256)]
        return report
    }

    @Test func survivesItsJSON() throws {
        let text = try report.json()
        let decoded = try JSONDecoder().decode(RunReport.self, from: Data(text.utf8))
        #expect(try decoded.json() == text)
        #expect(decoded.calibration == report.calibration)
        #expect(text.contains("\"models/a\"") && text.hasSuffix("}\n"))
    }

    @Test func phasesAreThoseThatTookTime() {
        let text = report.phaseTable()
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(lines.contains("forward 1.00 s 2.00 s 3.00 s 50.0 % 9.00 G 2.25 G/s"))
        #expect(lines.contains("solve 1.00 s 2.00 s 3.00 s 50.0 %"))
        #expect(!text.contains("merge"))
        #expect(text.contains("wall time 75.0 s on 2 ranks; tiles solved 3, reused 1"))
        #expect(text.contains("read 2.00 kB, sent 30 B (between hosts 5 B in 2 messages), fetched"))
        #expect(report.shareOfPeak == nil && !text.contains("peak would"))
    }

    /// 9e9 operations at 3e9 a second on each of 2 ranks take 1.5 s, of 75 s.
    @Test func arithmeticIsHeldToThePeak() {
        var report = report
        report.peakRate = 3e9
        #expect(report.shareOfPeak == 0.02)
        let lines = report.phaseTable().split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(lines.contains("forward 1.00 s 2.00 s 3.00 s 50.0 % 9.00 G 2.25 G/s 75 %"))
        #expect(lines.contains("arithmetic at the measured peak (3.00 G/s a rank) would take 2.0 % of the wall time"))
    }

    @Test func summaryNeedsASize() {
        var report = report
        #expect(report.summaryTable() == nil)
        report.size = SizeReport(sourceBytes: 4000, outputBytes: 1000, bitsPerWeight: 4.25, sourceBitsPerWeight: 16)
        report.before = EvaluationReport(perplexity: 10, tokens: 64, windows: 2, length: 32)
        report.after = EvaluationReport(perplexity: 10.5, tokens: 64, windows: 2, length: 32)
        let text = report.summaryTable() ?? ""
        #expect(text.contains("4.00 times smaller") && text.contains("+5.00 % over 64 tokens") && text.contains("4.25"))
        #expect(!text.contains("original expert weight"))
        report.size?.bitsPerOriginalExpertWeight = 1.25
        let lines = report.summaryTable()?.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") } ?? []
        #expect(lines.contains("bits per original expert weight 1.25 experts that were taken out count"), "\(lines)")
    }

    @Test func deviationsNameTheLinears() {
        var report = report
        report.linears[1].deadColumns = 3
        report.linears[1].tokens = 255
        report.linears[2].deadColumns = 5
        report.linears[1].effectiveRank = 1.25
        report.linears[2].clampedScales = 7
        #expect(
            report.deviations() == [
                "layers.0.q: rounded to nearest: no inputs",
                "layers.0.k: 3 of 256 columns saw nothing but zeros; their weights are rounded to nearest",
                "layers.0.k: damping raised to 0.1 after 1 failed factorisations",
                "layers.0.v: 7 scales are outside the format's type; weights in their groups lose bits, become zero or are cut off",
                "1 linears saw fewer calibration tokens than they have columns (layers.0.k: 255 of 256), so that damping alone makes their Hessians regular",
                "1 linears saw inputs of a low effective rank (layers.0.k: 1.3 in 256 columns), too much alike to say which weights matter",
            ])
    }

    /// JSON has no number for them.
    @Test(arguments: [Double.infinity, .nan])
    func perplexitiesThatAreNotFinite(value: Double) throws {
        var report = report
        report.size = SizeReport(sourceBytes: 4000, outputBytes: 1000, bitsPerWeight: 4.25, sourceBitsPerWeight: 16)
        report.before = EvaluationReport(perplexity: 10, tokens: 64, windows: 2, length: 32)
        report.after = EvaluationReport(perplexity: value, tokens: 64, windows: 2, length: 32)
        let text = try report.json()
        let kind = value.isNaN ? "not a number" : "infinite"
        #expect(text.contains("\"perplexity\" : null"))
        #expect(text.contains("\"notFinite\" : \"\(kind)\""))
        let after = try #require(try JSONDecoder().decode(RunReport.self, from: Data(text.utf8)).after)
        #expect(after.perplexity.isNaN == value.isNaN && after.perplexity.isInfinite == value.isInfinite && after.tokens == 64)
        #expect(report.summaryTable()?.contains("perplexity") == true && report.before?.notFinite == nil)
    }

    @Test func clocksAddUpByPhase() {
        let clock = PhaseClock()
        for _ in 0..<2 { clock.measure(.solve) { _ = (0..<1000).reduce(0, +) } }
        #expect(throws: CancellationError.self) { try clock.measure(.read) { throw CancellationError() } }
        #expect(Set(clock.seconds.keys) == [.solve, .read] && clock.seconds.values.allSatisfy { $0 >= 0 })
    }

    @Test func thisProcessHasMemory() {
        #expect(peakResidentBytes() > 1 << 20 && peakResidentBytes() < 1 << 40)
    }
}
