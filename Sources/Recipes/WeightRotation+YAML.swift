// What a recipe says of rotations.

internal import Transformers
internal import Yams

extension WeightRotation {
    private static let keys = ["block", "heads"]

    /// `rotate: hadamard`, or a mapping; nil without it, and where it is false.
    ///
    /// - Parameter group: columns of a group as `compress` has it, above which no block is chosen.
    init?(_ top: YAMLMapping, _ key: String, group: Int?) throws(RecipeError) {
        guard let node = top.node(key) else { return nil }
        let group = group ?? TreatmentSettings.defaultGroup
        self.init(block: .atMost(group > 0 ? group : .max))
        guard node.mapping == nil else {
            guard let mapping = try top.mapping(key, keys: Self.keys) else { return nil }
            if let size = try mapping.integer("block", in: 2...1 << 20) { block = .exactly(size) }
            heads = try mapping.boolean("heads") ?? heads
            return
        }
        switch node.scalar?.string {
        case "hadamard": break
        case "false": return nil
        default: throw top.error(key, "`\(key)` must be hadamard, false, or a mapping with `block` and `heads`, found `\(node.scalar?.string ?? "a list")`")
        }
    }
}
