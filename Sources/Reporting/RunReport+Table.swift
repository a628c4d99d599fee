// The closing table of a run.

extension RunReport {
    /// Time per phase over the ranks (minimum, average, maximum, share of all), then what was moved.
    public func phaseTable() -> String {
        var table = Table(header: ["phase", "min", "avg", "max", "share"])
        let total = ranks.reduce(0) { $0 + $1.seconds.values.reduce(0, +) }
        for phase in Phase.allCases {
            let seconds = ranks.map { $0.seconds[phase.rawValue] ?? 0 }
            let sum = seconds.reduce(0, +)
            guard sum > 0, let least = seconds.min(), let most = seconds.max() else { continue }
            table.add([
                phase.rawValue, formatSeconds(least), formatSeconds(sum / Double(ranks.count)), formatSeconds(most), "\(format(100 * sum / total, digits: 1)) %",
            ])
        }
        let memory = ranks.map(\.peakMemoryBytes)
        let lines = [
            "wall time \(formatSeconds(wallSeconds)) on \(ranks.count) ranks; tiles solved \(tiles.solved), reused \(tiles.reused)",
            "read \(formatBytes(ranks.reduce(0) { $0 + $1.bytesRead })), sent \(formatBytes(ranks.reduce(0) { $0 + $1.bytesSent })), "
                + "peak memory of a rank \(formatBytes(memory.min() ?? 0)) to \(formatBytes(memory.max() ?? 0))",
        ]
        return table.text() + lines.joined(separator: "\n") + "\n"
    }

    /// Linears that were not treated as the recipe asked, one line each; empty when all were.
    public func deviations() -> [String] {
        linears.compactMap { linear in
            if let fallback = linear.fallback { return "\(linear.name): rounded to nearest: \(fallback)" }
            if let attempts = linear.attempts, attempts > 1, let damping = linear.damping {
                return "\(linear.name): damping raised to \(damping) after \(attempts - 1) failed factorisations"
            }
            return nil
        }
    }
}
