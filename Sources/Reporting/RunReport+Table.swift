// The closing table of a run.

extension RunReport {
    /// Time per phase over the ranks (minimum, average, maximum, share of all), the rate of its arithmetic, then what was moved.
    public func phaseTable() -> String {
        var table = Table(header: ["phase", "min", "avg", "max", "share", "operations", "rate of a rank", "of peak"])
        let total = ranks.reduce(0) { $0 + $1.seconds.values.reduce(0, +) }
        for phase in Phase.allCases {
            let seconds = ranks.map { $0.seconds[phase.rawValue] ?? 0 }
            let sum = seconds.reduce(0, +)
            guard sum > 0, let least = seconds.min(), let most = seconds.max() else { continue }
            table.add(
                [
                    phase.rawValue, formatSeconds(least), formatSeconds(sum / Double(ranks.count)), formatSeconds(most),
                    "\(format(100 * sum / total, digits: 1)) %",
                ] + rates(phase, seconds: sum))
        }
        let memory = ranks.map(\.peakMemoryBytes)
        let between = (
            bytes: ranks.reduce(0) { $0 + ($1.bytesBetweenHosts ?? 0) }, messages: ranks.reduce(0) { $0 + ($1.messagesBetweenHosts ?? 0) }
        )
        let lines = [
            "wall time \(formatSeconds(wallSeconds)) on \(ranks.count) ranks; tiles solved \(tiles.solved), reused \(tiles.reused)",
            "weights read \(formatBytes(ranks.reduce(0) { $0 + $1.bytesRead })), sent \(formatBytes(ranks.reduce(0) { $0 + $1.bytesSent }))"
                + (between.messages == 0 ? "" : " (between hosts \(formatBytes(between.bytes)) in \(between.messages) messages)") + ", "
                + "fetched from storage \(formatBytes(ranks.reduce(0) { $0 + ($1.bytesFetched ?? 0) })), "
                + "peak memory of a rank \(formatBytes(memory.min() ?? 0)) to \(formatBytes(memory.max() ?? 0))"
                + (self.memory.map { ", bound \(formatBytes($0.boundBytes))" } ?? ""),
        ]
        let headline = shareOfPeak.flatMap { share in
            peakRate.map { "arithmetic at the measured peak (\(formatCount($0))/s a rank) would take \(format(100 * share, digits: 1)) % of the wall time\n" }
        }
        return table.text() + lines.joined(separator: "\n") + "\n" + (headline ?? "")
    }

    /// Operations of a phase, their rate on one rank, and its share of the measured peak; blank where nothing was counted.
    private func rates(_ phase: Phase, seconds: Double) -> [String] {
        let operations = ranks.reduce(0) { $0 + ($1.operations[phase.rawValue] ?? 0) }
        guard operations > 0, seconds > 0 else { return ["", "", ""] }
        let rate = operations / seconds
        return [formatCount(operations), "\(formatCount(rate))/s", peakRate.map { "\(format(100 * rate / $0, digits: 0)) %" } ?? ""]
    }

    /// A row with the least and the largest of some values; none without values.
    private func addRange(_ title: String, _ values: [Double], unit: String, to table: inout Table) {
        guard let least = values.min(), let most = values.max() else { return }
        table.add([title, "", "\(format(least, digits: 2)) to \(format(most, digits: 2))\(unit)", "\(values.count) linears"])
    }

    /// Source and result side by side: size, bits, perplexity; nil when nothing was merged.
    public func summaryTable() -> String? {
        guard let size else { return nil }
        var table = Table(header: ["", "source", "result", ""])
        let ratio = Double(size.sourceBytes) / Double(max(size.outputBytes, 1))
        table.add(["size", formatBytes(size.sourceBytes), formatBytes(size.outputBytes), "\(format(ratio, digits: 2)) times smaller"])
        table.add(["bits per compressed weight", format(size.sourceBitsPerWeight, digits: 2), format(size.bitsPerWeight, digits: 2), ""])
        if let bits = size.bitsPerOriginalExpertWeight {
            table.add(["bits per original expert weight", "", format(bits, digits: 2), "experts that were taken out count"])
        }
        let sparsities = linears.compactMap(\.sparsity)
        if let least = sparsities.min(), let most = sparsities.max() {
            let (least, most) = (format(100 * least, digits: 2), format(100 * most, digits: 2))
            table.add(["zeros in pruned linears", "", least == most ? "\(least) %" : "\(least) to \(most) %", "\(sparsities.count) linears"])
        }
        addRange("zeros in ternary linears", linears.compactMap { $0.zeros.map { 100 * $0 } }, unit: " %", to: &table)
        addRange("bits of a ternary weight in codewords", linears.compactMap(\.codewordBits), unit: "", to: &table)
        addRange("outliers in linears of SpQR", linears.compactMap { $0.outliers.map { 100 * $0 } }, unit: " %", to: &table)
        addRange("average bits as SpQR counts them", linears.compactMap(\.averageBits), unit: "", to: &table)
        if let before, let after {
            let change = 100 * (after.perplexity / before.perplexity - 1)
            table.add([
                "perplexity", format(before.perplexity, digits: 3), format(after.perplexity, digits: 3),
                "\(change < 0 ? "" : "+")\(format(change, digits: 2)) % over \(after.tokens) tokens",
            ])
        }
        return table.text()
    }
}
