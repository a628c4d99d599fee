// What is said of a budget: what it will take to spend it, and how it was spent.

import Compression
import Recipes
import Reporting
import Runs
import Sharding

/// What measuring the losses of an undecided plan takes.
func lossesText(_ plan: Plan) -> String {
    let units = plan.units, choices = units.first.map(plan.choices) ?? []
    let (windows, length) = plan.probeWindows
    return
        "\(units.count) units with \(choices.map { choiceText(bits: $0.bits, group: $0.group, sparsity: $0.sparsity) }.joined(separator: ", ")); a calibration with dense weights, each linear solved \(choices.count) times; "
        + "probes of \(windows) x \(length) tokens, \(formatCount(plan.probeOperations)) operations over all ranks"
}

/// `3 bits g64`, `0.5 of zeros`
private func choiceText(bits: Int?, group: Int, sparsity: Sparsity?) -> String {
    [sparsity.map { "\($0) of zeros" }, bits.map { "\($0) bits \(group > 0 ? "g\(group)" : "by row")" }].compactMap { $0 }.joined(separator: ", ")
}

extension ChosenUnit {
    fileprivate var choice: String { choiceText(bits: bits, group: group, sparsity: sparsity) }
}

extension BudgetOutcome {
    private var isOfSparsity: Bool { units.contains { $0.sparsity != nil } }

    /// How many units have each choice.
    var summary: String {
        let counts = Dictionary(grouping: units, by: \.choice).mapValues(\.count)
        return "\(format(average, digits: 3)) \(isOfSparsity ? "of all weights are zeros" : "bits of a weight on average"); "
            + counts.sorted { $0.key < $1.key }.map { "\($1) units with \($0)" }.joined(separator: ", ")
    }

    /// The choice of every unit, a block in each row.
    var text: String {
        let parts = units.map { $0.name.split(separator: ",", maxSplits: 1).last.map { $0.drop { $0 == " " } } ?? "" }.map(String.init)
        let columns = parts.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        var table = Table(header: ["block"] + columns)
        let places = Dictionary(grouping: units.indices) { units[$0].block }
        for (block, own) in places.sorted(by: { $0.key < $1.key }) {
            let ofParts = Dictionary(own.map { (parts[$0], units[$0].choice) }) { first, _ in first }
            table.add(["\(block)"] + columns.map { ofParts[$0] ?? "" })
        }
        return "budget spent by \(self.table): \(summary)\n" + table.text() + "\n"
    }
}
