// Where a linear stands in its model, by its name alone: how deep, and of which kind.

/// Depth and kind of a linear.
package struct LinearPlace: Hashable {
    /// The number of its block; nil for a linear beside the blocks, such as a head.
    package let depth: Int?
    /// The rest of its name, with a star for the number of an expert: `self_attn.q_proj`, `mlp.experts.*.down_proj`.
    package let kind: String

    /// - Parameter name: such as `model.layers.7.mlp.experts.3.down_proj`.
    package init(_ name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard let place = parts.firstIndex(where: { Self.number($0) != nil }), place + 1 < parts.count else {
            (depth, kind) = (nil, name)
            return
        }
        depth = Self.number(parts[place])
        kind = parts[(place + 1)...].map { Self.number($0) == nil ? String($0) : "*" }.joined(separator: ".")
    }

    private static func number(_ part: Substring) -> Int? {
        part.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(part) : nil
    }
}

extension Sequence where Element == String {
    /// Each once, in the order of their first appearance.
    func unique() -> [String] {
        var seen: Set<String> = []
        return filter { seen.insert($0).inserted }
    }
}
