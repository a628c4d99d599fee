// Linears that a server makes one of, and what that asks of a recipe.

internal import Compression
internal import Recipes
internal import Transformers

extension Plan {
    /// The linears that vLLM joins by their rows, by the ends of their names (`packed_modules_mapping` of its models).
    fileprivate static let fused = [
        ["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"], ["w1", "w3"],
        ["q_a_proj", "kv_a_proj_with_mqa"], ["in_proj_qkv", "in_proj_z"], ["in_proj_b", "in_proj_a"],
    ]

    /// What vLLM could not load since linears that it makes one of have different schemes: sentences, linears of a kind together. transformers loads them.
    public var fusionProblems: [String] {
        guard recipe.format.isServedByVLLM else { return [] }
        var found: [String: (first: String, count: Int)] = [:]
        for stage in blocks.lazy.flatMap(\.stages) {
            for members in stage.mixedParts {
                let schemes = members.map { "\($0.linear.name.split(separator: ".").last ?? "") \($0.scheme)" }.joined(separator: ", ")
                found[schemes, default: (members[0].linear.module, 0)].count += 1
            }
        }
        return found.sorted { $0.key < $1.key }.map { schemes, modules in
            "vLLM makes one linear of these, so it does not load a result in which they have different schemes: \(schemes) in \(modules.first)"
                + (modules.count > 1 ? " and \(modules.count - 1) more" : "")
        }
    }
}

extension StagePlan {
    /// The linears, by their places, of which vLLM makes one: those of one module whose names end so. Others are in none.
    public var fusedParts: [[Int]] {
        Dictionary(grouping: linears.indices) { linears[$0].linear.module }.values.flatMap { places in
            let byEnd = Dictionary(places.map { (linears[$0].linear.name.split(separator: ".").last.map(String.init) ?? "", $0) }) { first, _ in first }
            return Plan.fused.map { $0.compactMap { byEnd[$0] } }.filter { $0.count > 1 }
        }.sorted { $0[0] < $1[0] }
    }

    /// The linears of which vLLM makes one though their schemes differ.
    var mixedParts: [[LinearPlan]] {
        // Nearly every stage has one scheme.
        guard let first = linears.first, linears.contains(where: { $0.content != first.content }) else { return [] }
        return fusedParts.map { $0.map { linears[$0] } }.filter { members in members.contains { $0.scheme != members[0].scheme } }
    }
}

extension Linear {
    /// Its name without the last part.
    fileprivate var module: String { name.split(separator: ".").dropLast().joined(separator: ".") }
}

extension LinearPlan {
    /// What is stored of its scheme, not how codes were found.
    public var scheme: String {
        guard let options else { return "plain" }
        let known = options.number.activations(options.strategy)
        let activations = options.activations == known.first ? "" : ", activations \(options.activations.rawValue)"
        let inputs = activations + (options.activationType == options.number ? "" : " in \(options.activationType.rawValue)")
        if options.number != .int {
            return options.number.rawValue + (options.strategy == .group ? "" : " by \(options.strategy.rawValue)") + inputs
        }
        let group = options.group > 0 ? "g\(options.group)" : "by row"
        return "\(options.bits) bits \(group) \(options.symmetric ? "symmetric" : "asymmetric")" + (options.hasPermutedGroups ? " permuted" : "") + inputs
    }
}
