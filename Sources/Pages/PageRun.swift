// A run as a page counts and names it.

internal import Foundation
internal import Reporting

/// A run's account with what several parts of the page ask of it.
struct PageRun {
    let account: RunAccount
    /// Its place among the runs of the page.
    let index: Int
    /// The last part of its directory; with the part before where others have the same.
    let name: String

    var report: RunReport { account.report }
    var status: StatusReport { account.status }
    var series: String { "s\(index)" }

    static func all(_ accounts: [RunAccount]) -> [PageRun] {
        func name(_ account: RunAccount, parts: Int) -> String {
            account.status.output.split(separator: "/").filter { $0 != "." }.suffix(parts).joined(separator: "/")
        }
        let parts = (1...8).first { count in Set(accounts.map { name($0, parts: count) }).count == accounts.count } ?? 1
        return accounts.enumerated().map { index, account in PageRun(account: account, index: index, name: name(account, parts: parts)) }
    }

    /// The source and what its rotation or wrapping may add are one model: its directory's name.
    var model: String { report.model.split(separator: "/").last.map(String.init) ?? report.model }

    /// What was done, from the most frequent on: `gptq, 4 bits, groups of 64`.
    var treatments: [(text: String, linears: Int)] {
        var counts: [String: Int] = [:]
        for linear in report.linears { counts[Self.treatment(linear), default: 0] += 1 }
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    static func treatment(_ linear: LinearReport) -> String {
        var parts = [linear.method]
        if let type = linear.type { parts.append(type) } else if let bits = linear.bits { parts.append("\(bits) bits") }
        if let group = linear.group { parts.append(group > 0 ? "groups of \(group)" : "whole rows") }
        if linear.sparsity != nil, linear.bits == nil { parts.append("pruned") }
        return parts.joined(separator: ", ")
    }

    /// The linears with their places in the model.
    var linears: [(place: LinearPlace, linear: LinearReport)] { report.linears.map { (LinearPlace($0.name), $0) } }

    /// The last evaluation of those after the run that compares predictions with another model's.
    var comparison: SavedEvaluation? { account.evaluations.last { $0.result.comparison != nil } }

    /// Whether the page is to say at once that the result cannot be trusted.
    var isBad: Bool { [report.before, report.after].contains { $0?.notFinite != nil } }
}
