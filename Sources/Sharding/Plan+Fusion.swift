// Linears that a server makes one of, and what that asks of a recipe.

internal import Compression
internal import Recipes
internal import Transformers

extension Plan {
    /// The linears that vLLM joins by their rows, by the ends of their names (`packed_modules_mapping` of its models).
    private static let fused = [
        ["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"], ["q_a_proj", "kv_a_proj_with_mqa"], ["in_proj_qkv", "in_proj_z"], ["in_proj_b", "in_proj_a"],
    ]

    /// What vLLM could not load since linears that it makes one of have different schemes: sentences, linears of a kind together. transformers loads them.
    public var fusionProblems: [String] {
        guard recipe.format != .dense else { return [] }
        var found: [String: (first: String, count: Int)] = [:]
        for stage in blocks.flatMap(\.stages) {
            // Of linears that share an input: the module, and the end of the name.
            let modules = Dictionary(grouping: stage.linears) { $0.linear.name.dropLast(($0.linear.name.split(separator: ".").last?.count ?? -1) + 1) }
            for (module, linears) in modules {
                let byEnd = Dictionary(linears.map { ($0.linear.name.dropFirst(module.count + 1), $0) }) { first, _ in first }
                for ends in Self.fused {
                    let members = ends.compactMap { end in byEnd[end[...]].map { (end, $0) } }
                    guard let first = members.first, members.contains(where: { $0.1.scheme != first.1.scheme }) else { continue }
                    let schemes = members.map { "\($0.0) \($0.1.scheme)" }.joined(separator: ", ")
                    found[schemes, default: (String(module), 0)].count += 1
                }
            }
        }
        return found.sorted { $0.key < $1.key }.map { schemes, modules in
            "vLLM makes one linear of these, so it does not load a result in which they have different schemes: \(schemes) in \(modules.first)"
                + (modules.count > 1 ? " and \(modules.count - 1) more" : "")
        }
    }
}

extension LinearPlan {
    /// What is stored of its scheme, not how codes were found.
    var scheme: String {
        guard let options else { return "plain" }
        let group = options.group > 0 ? "g\(options.group)" : "by row"
        return "\(options.bits) bits \(group) \(options.symmetric ? "symmetric" : "asymmetric")" + (options.hasPermutedGroups ? " permuted" : "")
    }
}
