// Why a run cannot keep its limit of memory, and what would help.

/// A run that cannot keep its limit, and what would.
public struct MemoryShortage: Error, CustomStringConvertible {
    /// What the limit is of: `memory_per_rank`, or `memory_per_host`.
    public var key: String
    public var limit: Int
    /// `a rank`, or `a host of 8 ranks`.
    public var holder: String
    /// The phase that needs the most although everything gives way, with the bytes of the holder.
    public var phase: MemoryPlan.Phase
    public var remedies: [String]

    public var description: String {
        let given = limit < 1 << 20 ? "\(limit) bytes (as a number without a unit says)" : mebibytes(limit)
        return "\(key): \(given) do not suffice: \(phase.name)\(phase.stage.map { " of \($0)" } ?? "") needs \(mebibytes(phase.bytes)) of \(holder), "
            + "at the least; what would fit: \(remedies.joined(separator: "; "))"
    }
}

/// Bytes in MiB, rounded up.
func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
