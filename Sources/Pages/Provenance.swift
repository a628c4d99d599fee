// Where a result comes from: recipe, plan, machine, versions, seeds, attempts, and what was measured later.

internal import Foundation
internal import Reporting

struct Provenance {
    struct Fact {
        let label: String
        let value: String
    }

    struct Attempt {
        let began: String
        let lasted: String
        let place: String
        let end: String
    }

    struct Evaluation {
        let measured: String
        let data: String
        let windows: String
        let perplexity: String
        let divergence: String
        let choices: String
    }

    let ofRun: String
    let facts: [Fact]
    let hasAttempts: Bool
    let attempts: [Attempt]
    let hasEvaluations: Bool
    let evaluations: [Evaluation]
    let recipe: String?
    let overrides: String?

    init(_ run: PageRun) {
        ofRun = run.name
        facts = Self.facts(run)
        attempts = run.account.attempts.map(Self.attempt)
        evaluations = run.account.evaluations.map(Self.evaluation)
        (hasAttempts, hasEvaluations) = (!attempts.isEmpty, !evaluations.isEmpty)
        recipe = run.account.recipe
        overrides = run.account.overrides.isEmpty ? nil : run.account.overrides.joined(separator: "\n")
    }

    private static func facts(_ run: PageRun) -> [Fact] {
        let report = run.report
        var facts = [
            Fact(label: "Result", value: run.status.output), Fact(label: "Model", value: report.model), Fact(label: "Plan", value: report.planHash),
            Fact(label: "Cleave", value: report.cleave),
        ]
        if let calibration = report.calibration {
            facts += [
                Fact(
                    label: "Calibration",
                    value: "\(calibration.source), \(calibration.sequences) x \(calibration.length) tokens, \(grouped(calibration.distinctTokens)) different"),
                Fact(label: "Seed", value: "\(calibration.seed)"), Fact(label: "Token ids", value: calibration.idsHash),
            ]
        }
        for (index, platform) in run.account.platforms.enumerated() {
            facts.append(Fact(label: run.account.platforms.count > 1 ? "Machine \(index + 1)" : "Machine", value: platform))
        }
        if let share = report.shareOfPeak, let peak = report.peakRate {
            facts.append(
                Fact(
                    label: "Arithmetic",
                    value: "would take \(format(100 * share, digits: 1)) % of the wall time at the measured peak (\(formatCount(peak))/s a rank)"))
        }
        return facts
    }

    private static func attempt(_ attempt: RunHistory.Attempt) -> Attempt {
        let hosts = attempt.report.hosts.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value))" }
        let end =
            switch attempt.exitCode {
            case 0: "came to its end"
            case 75: "stopped in good order"
            case let code?: "exit code \(code): \(attempt.error ?? "")"
            case nil: "no end in the log"
            }
        return Attempt(
            began: attempt.began.formatted(.iso8601), lasted: formatSeconds(attempt.lastEvent.timeIntervalSince(attempt.began)),
            place: "\(counted(attempt.report.ranks, "rank")) x \(counted(attempt.report.threads, "thread")) on \(hosts.prefix(8).joined(separator: ", "))"
                + (hosts.count > 8 ? " and \(hosts.count - 8) more" : ""),
            end: end)
    }

    private static func evaluation(_ saved: SavedEvaluation) -> Evaluation {
        let result = saved.result
        return Evaluation(
            measured: saved.time.formatted(.iso8601), data: saved.data, windows: "\(grouped(result.windows)) x \(grouped(result.length)), \(saved.compute)",
            perplexity: result.notFinite ?? format(result.perplexity, digits: 3),
            divergence: result.comparison.map { "\(short($0.divergence)) from \(saved.reference ?? "?")" } ?? "",
            choices: result.comparison.map { "\(format(100 * $0.sameChoices, digits: 2)) %" } ?? "")
    }
}
