// The half of a block that is a mixture of experts, in the families whose experts are gated feed-forward networks.

/// How many experts there are, how a token chooses, and what config.json and checkpoints call it all.
struct ExpertLayer {
    /// A feed-forward network beside the experts that every token passes.
    struct Shared {
        let module: String
        let intermediate: Int
        /// The linear from which a token's share of it follows; nil: it is added whole.
        var share: String?
    }

    /// The module of the block that holds them.
    var module = "mlp"
    /// The linears of an expert: gate, up, down.
    var linears = ["gate_proj", "up_proj", "down_proj"]
    let experts: Int
    /// How a token's experts are chosen; a tensor's name in it is that inside the module.
    var rule: RouterRule
    /// Rows of an expert's gate.
    let intermediate: Int
    var shared: Shared?
    /// The router's linear, and whether it has a bias.
    var router = "gate"
    var hasRouterBias = false
    /// Whether the linears of experts have biases.
    var hasBias = false
    /// What becomes of an expert's gate and up; nil: the activation of the model, gated.
    var activation: ClampedActivation?
    /// The tensors that hold the weights of all experts; nil: each linear has one of its own.
    var fused: FusedExperts?

    /// - Parameters:
    ///   - expertsKeys: of the number of experts, any of which config.json may have.
    ///   - defaults: of the number of experts, and of those of a token.
    ///   - intermediateKey: of the width of an expert.
    init(
        _ configuration: Configuration, expertsKeys: [String], defaults: (experts: Int, chosen: Int?), intermediateKey: String, normalises: Bool
    ) throws(ArchitectureError) {
        // Of no effect, but for a null, which makes transformers fail.
        _ = try configuration.flag("output_router_logits", default: false)
        var present: [String] = []
        for key in expertsKeys where try configuration.has(key) { present.append(key) }
        let key = present.first ?? expertsKeys[0]
        experts = try configuration.count(key, default: defaults.experts)
        for other in present.dropFirst() where try configuration.count(other) != experts { throw configuration.invalid(other, "\(experts), as `\(key)`") }
        let chosen = try configuration.count("num_experts_per_tok", default: defaults.chosen)
        intermediate = try configuration.count(intermediateKey)
        rule = RouterRule(chosen: chosen, normalises: normalises)
        // A list of stages for each block: not endless for a mistaken number.
        let most = (1 << 16) / (try configuration.blockCount("num_hidden_layers"))
        guard experts <= most else { throw configuration.invalid(key, "a whole number from 1 to \(most)") }
        guard chosen <= experts else { throw configuration.invalid("num_experts_per_tok", "at most the number of experts, \(experts)") }
    }

    /// The same experts in the tensors that hold those of a whole block, unless the checkpoint has some for each expert.
    func fused(_ form: FusedExperts, _ configuration: Configuration) -> ExpertLayer {
        guard !configuration.tensors.contains(where: { $0.contains(".experts.0.\(linears[0]).") }) else { return self }
        var layer = self
        layer.fused = form
        return layer
    }

    /// The keys of config.json that say in some family how many experts there are.
    static let countKeys: Set<String> = ["n_routed_experts", "num_experts", "num_local_experts"]

    /// The keys of config.json that are read here in every family.
    static let keys: Set<String> = ["num_experts_per_tok", "output_router_logits"]

    /// Keys of the families that change nothing of what a model computes: losses and noise of training.
    static let keysOfTraining: Set<String> = ["router_aux_loss_coef", "router_jitter_noise"]

    /// The stages of a block's second half, those of experts last, and their router.
    ///
    /// - Parameters:
    ///   - block: its name.
    ///   - input: what router and experts read.
    func stages(_ block: String, input: StageInput, hidden: Int, activation: ActivationFunction) -> (stages: [Stage], router: Router) {
        let name = "\(block).\(module)"
        func pair(
            _ label: String, _ name: String, _ names: [String], rows: Int, bias: Bool = false, share: Linear?, tokens: Double,
            stored: (Linear, Int) -> Linear = { linear, _ in linear }
        ) -> [Stage] {
            let first = names.dropLast().enumerated().map { stored(Linear("\(name).\($1)", rows: rows, columns: hidden, bias: bias), $0) }
            let effect: any StageEffect = self.activation ?? GatedActivation(function: activation, share: share)
            let gateUp = Stage(name: "\(label) gate+up", input: input, linears: first, effect: effect, tokenShare: tokens)
            let last = stored(Linear("\(name).\(names[2])", rows: hidden, columns: rows, bias: bias), 2)
            return [gateUp, Stage(name: "\(label) down", after: gateUp, linears: [last], effect: Addition(isPending: true))]
        }
        let sharedStages = shared.map { shared in
            let share = shared.share.map { Linear("\(name).\($0)", rows: 1, columns: hidden, bias: false) }
            return pair(
                "shared expert", "\(name).\(shared.module)", ["gate_proj", "up_proj", "down_proj"], rows: shared.intermediate, share: share, tokens: 1)
        }
        let share = Double(rule.chosen) / Double(experts)
        let own = (0..<experts).flatMap { expert in
            pair("expert \(expert)", "\(name).experts.\(expert)", linears, rows: intermediate, bias: hasBias, share: nil, tokens: share) { linear, place in
                fused?.stored(linear, place, expert: expert, of: experts, in: name) ?? linear
            }
        }
        var rule = rule
        rule.correction = rule.correction.map { "\(name).\($0)" }
        let router = Router(linear: Linear("\(name).\(router)", rows: experts, columns: hidden, bias: hasRouterBias), rule: rule)
        return ((sharedStages ?? []) + own, router)
    }
}
