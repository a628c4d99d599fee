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
            bytes: ranks.reduce(0) { $0 + $1.bytesBetweenHosts }, messages: ranks.reduce(0) { $0 + $1.messagesBetweenHosts }
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

    /// Source and result side by side: size, bits, perplexity; nil when nothing was merged.
    public func summaryTable() -> String? {
        guard let size else { return nil }
        var table = Table(header: ["", "source", "result", ""])
        let ratio = Double(size.sourceBytes) / Double(max(size.outputBytes, 1))
        table.add(["size", formatBytes(size.sourceBytes), formatBytes(size.outputBytes), "\(format(ratio, digits: 2)) times smaller"])
        table.add(["bits per compressed weight", format(size.sourceBitsPerWeight, digits: 2), format(size.bitsPerWeight, digits: 2), ""])
        let sparsities = linears.compactMap(\.sparsity)
        if let least = sparsities.min(), let most = sparsities.max() {
            let (least, most) = (format(100 * least, digits: 2), format(100 * most, digits: 2))
            table.add(["zeros in pruned linears", "", least == most ? "\(least) %" : "\(least) to \(most) %", "\(sparsities.count) linears"])
        }
        if let before, let after {
            let change = 100 * (after.perplexity / before.perplexity - 1)
            table.add([
                "perplexity", format(before.perplexity, digits: 3), format(after.perplexity, digits: 3),
                "\(change < 0 ? "" : "+")\(format(change, digits: 2)) % over \(after.tokens) tokens",
            ])
        }
        return table.text()
    }

    /// What a user should know of before trusting the result, one line each: linears that were not treated as the recipe asked, inputs that say too
    /// little. Empty when there is nothing.
    public func deviations() -> [String] {
        let starved = linears.filter { $0.fallback == nil && ($0.tokens ?? .max) < $0.columns }
        let fewTokens = starved.first.map { first in
            "\(starved.count) linears saw fewer calibration tokens than they have columns (\(first.name): \(first.tokens ?? 0) of \(first.columns)), so that "
                + "damping alone makes their Hessians regular"
        }
        let alike = linears.filter { linear in linear.effectiveRank.map(isLow) ?? false }
        let fewDirections = alike.min { ($0.effectiveRank ?? 0) < ($1.effectiveRank ?? 0) }.map { least in
            "\(alike.count) linears saw inputs of a low effective rank (\(least.name): \(format(least.effectiveRank ?? 0, digits: 1)) in \(least.columns) columns), "
                + "too much alike to say which weights matter"
        }
        return linears.flatMap(deviations) + [fewTokens, fewDirections, mixtures?.summary].compactMap { $0 }
    }

    private func deviations(_ linear: LinearReport) -> [String] {
        var lines: [String] = []
        if let clamped = linear.clampedScales {
            lines.append("\(linear.name): \(clamped) scales are outside the format's type; weights in their groups lose bits, become zero or are cut off")
        }
        if let fallback = linear.fallback {
            return ["\(linear.name): \(linear.sparsity == nil ? "rounded to nearest" : "pruned by magnitude"): \(fallback)"] + lines
        }
        // Other methods do not look at a column's inputs.
        if let dead = linear.deadColumns, dead > 0, ["gptq", "obq", "sparsegpt", "admm", "exactobs", "wanda"].contains(linear.method) {
            let remedy = linear.sparsity == nil ? "rounded to nearest" : "pruned by their magnitude"
            lines.append("\(linear.name): \(dead) of \(linear.columns) columns saw nothing but zeros; their weights are \(remedy)")
        }
        if let attempts = linear.attempts, attempts > 1, let damping = linear.damping {
            lines.append("\(linear.name): damping raised to \(damping) after \(attempts - 1) failed factorisations")
        }
        return lines
    }
}

/// Whether inputs of such an effective rank say too little of a linear's weights: hardly more than one direction. Inputs from texts have 5 at least, whatever
/// the number of columns, and mostly tens; one token again and again has 1.
public func isLow(effectiveRank: Double) -> Bool { effectiveRank < 2 }
