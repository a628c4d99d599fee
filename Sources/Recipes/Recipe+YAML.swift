// Reading a recipe from YAML, strictly.

internal import Compression
internal import Transformers
internal import Yams

extension Recipe {
    /// Reads a recipe.
    ///
    /// - Parameters:
    ///   - yaml: the text of the file.
    ///   - file: its name, for messages.
    ///   - overrides: `path=value`, applied in order; values are YAML.
    ///   - model, output: replace the recipe's own.
    public init(yaml: String, file: String, overrides: [String] = [], model: String? = nil, output: String? = nil) throws(RecipeError) {
        var root: Node
        do {
            root = try composed(yaml) ?? .mapping(Node.Mapping([]))
        } catch let error as TangledAliases {
            throw RecipeError(place: file, message: error.description)
        } catch let error as YamlError {
            throw RecipeError(place: file, message: "not valid YAML: \(error)")
        } catch {
            throw RecipeError(place: file, message: "cannot be read: \(error)")
        }
        for override in overrides { try applyOverride(override, to: &root) }
        let top = try YAMLMapping(
            root, file: file, path: "",
            keys: [
                "model", "output", "calibration", "evaluation", "propagation", "compute", "compress", "rules", "ignore", "format", "max_shard_size",
                "memory_per_rank", "memory_per_host", "weights", "experts", "rotate", "equalize", "gguf", "kv_cache",
            ] + DeviationLimits.keys)
        let compress = try top.mapping("compress", keys: TreatmentSettings.keys)
        // A mapping in place of a setting is a budget.
        let bits = try compress?.node("bits")?.mapping == nil ? nil : compress?.mapping("bits", keys: Budget.keysOfBits)
        let sparsity = try compress?.node("sparsity")?.mapping == nil ? nil : compress?.mapping("sparsity", keys: Budget.keysOfSparsity)
        let choices: BudgetChoices?
        switch (bits, sparsity) {
        case (nil, nil): (budget, choices) = (nil, nil)
        case (let bits?, nil): (budget, choices) = (try Budget(bits: bits), try BudgetChoices(bits: bits))
        case (nil, let sparsity?): (budget, choices) = (try Budget(sparsity: sparsity), try BudgetChoices(sparsity: sparsity))
        case (_?, let sparsity?):
            throw sparsity.error("average", "`compress.bits` and `compress.sparsity` are both budgets: a run spends one; give one of them a single value")
        }
        if let budget, let choices, let mapping = bits ?? sparsity { try budget.check(choices, mapping) }
        let base = try compress.map { mapping throws(RecipeError) in try TreatmentSettings(mapping, choices: choices) } ?? TreatmentSettings()
        self.model = if let model { model } else { try top.required("model") }
        self.output = if let output { output } else { try top.required("output") }
        equivalence = Equivalence(rotation: try WeightRotation(top, "rotate", group: base.group), equalizes: try top.boolean("equalize") ?? false)
        propagation = try top.choice("propagation") ?? .stage
        compute = try top.choice("compute") ?? .bf16
        rules = try Self.rules(top, base: base)
        if let mapping = bits ?? sparsity, rules.allSatisfy(\.choices.isEmpty) {
            let key = bits == nil ? "sparsity" : "bits"
            throw mapping.error("average", "`\(mapping.path)` is a budget, but every rule has `\(key)` of its own: leave it out where the budget shall choose")
        }
        ignore = []
        for (text, line) in try top.strings("ignore") ?? [] { ignore.append(try Self.pattern(text, file: file, line: line)) }
        format = try top.choice("format") ?? .compressedTensors
        gguf = try top.mapping("gguf", keys: GGUFSettings.keys).map(GGUFSettings.init) ?? GGUFSettings()
        if gguf != GGUFSettings(), format != .gguf { throw top.error("gguf", "`gguf` goes with `format: gguf`, and the format is \(format.rawValue)") }
        cache = try KeyValueCache(top, "kv_cache")
        if cache != nil, format != .compressedTensors {
            throw top.error(
                "kv_cache",
                "`kv_cache` goes with `format: compressed-tensors`, and \(format.rawValue) has no place for the scales of keys and values: leave it out")
        }
        if let bits, case .size? = budget?.limit, format == .dense {
            throw bits.error("size", "`\(bits.path).size` has no meaning with `format: dense`, whose results have one size whatever their bits; give `average`")
        }
        maxShardSize = try top.byteCount("max_shard_size") ?? Self.defaultShardSize
        memoryPerRank = try top.byteCount("memory_per_rank")
        memoryPerHost = try top.byteCount("memory_per_host")
        weights = try top.choice("weights") ?? .mapped
        limits = try DeviationLimits(top)
        experts = try top.mapping("experts", keys: ExpertSettings.keys).map(ExpertSettings.init) ?? ExpertSettings()
        calibration = try top.mapping("calibration", keys: Calibration.keys).map(Calibration.init)
        evaluation = try top.mapping("evaluation", keys: Evaluation.keys).map(Evaluation.init)
        if experts.starved == .rtn, rules.contains(where: { $0.treatment.activations == .static }) {
            throw top.error(
                "experts", "`experts.starved: rtn` leaves experts without inputs of their own, from which `activations: static` takes a scale; use blend")
        }
        if cache != nil, calibration == nil {
            throw top.error("kv_cache", "`kv_cache` needs a `calibration`, whose keys and values its scales follow from")
        }
        guard calibration != nil || !rules.contains(where: { $0.treatment.method.needsHessian }) else {
            throw RecipeError(place: file, message: "key `calibration` is missing; only `method: rtn` and `method: magnitude` do without it")
        }
    }

    private static func rules(_ top: YAMLMapping, base: TreatmentSettings) throws(RecipeError) -> [Rule] {
        guard let node = top.node("rules") else {
            return [try rule(base, match: try pattern("*", file: top.file, line: nil), line: nil) { top.error("compress", $0) }]
        }
        guard let sequence = node.sequence, !sequence.isEmpty else { throw top.error("rules", "`rules` must be a list of rules, each with `match`") }
        var rules: [Rule] = []
        for (index, item) in sequence.enumerated() {
            let mapping = try YAMLMapping(item, file: top.file, path: "rules.\(index)", keys: ["match"] + TreatmentSettings.keys)
            guard let text = try mapping.string("match") else { throw mapping.missing("match") }
            let settings = try TreatmentSettings(mapping, base: base)
            let match = try pattern(text, file: top.file, line: mapping.line)
            rules.append(try rule(settings, match: match, line: mapping.line) { mapping.error("match", $0) })
        }
        return rules
    }

    private static func rule(
        _ settings: TreatmentSettings, match: Pattern, line: Int?, _ error: (String) -> RecipeError
    ) throws(RecipeError) -> Rule {
        switch settings.treatments() {
        case .success(let found):
            return Rule(match: match, treatment: found[Rule.probed(found.count)], choices: settings.choices == nil ? [] : found, line: line)
        case .failure(let contradiction): throw error(contradiction.description)
        }
    }

    private static func pattern(_ text: String, file: String, line: Int?) throws(RecipeError) -> Pattern {
        do {
            return try Pattern(text)
        } catch {
            throw RecipeError(place: line.map { "\(file):\($0)" } ?? file, message: error.description)
        }
    }
}

extension TreatmentSettings {
    static let keys = [
        "method", "type", "strategy", "activations", "activation_type", "bits", "group", "symmetric", "scales", "act_order", "static_groups", "grid",
        "damping", "max_damping", "target", "target_strength", "stream_strength", "sparsity", "mask_block", "sparsity_block",
        "outlier_threshold",
    ]

    /// The settings of `compress`.
    ///
    /// - Parameter choices: what its `bits` or `sparsity` say where they are a budget.
    fileprivate init(_ mapping: YAMLMapping, choices: BudgetChoices?) throws(RecipeError) {
        try self.init(mapping, base: TreatmentSettings(), budget: choices)
        self.choices = choices
        if case .widths(_, groups: _?)? = choices, mapping.has("group") {
            throw mapping.error("group", "`group` and `bits.groups` both say which groups there are; leave one out")
        }
    }

    /// The settings of a mapping; what it leaves out is taken from `base`.
    ///
    /// - Parameter budget: the choices of the setting that is a budget, and is not read here.
    init(_ mapping: YAMLMapping, base: TreatmentSettings, budget: BudgetChoices? = nil) throws(RecipeError) {
        self = base
        method = try mapping.choice("method") ?? base.method
        if let own = try mapping.choice("type", NumberType.self) {
            if own != base.type ?? .int { dropNumbers() }
            type = own
        }
        if budget?.areWidths != true, let own = try mapping.width("bits", of: Treatment.widths) { try take(own, mapping) }
        strategy = try mapping.choice("strategy") ?? strategy
        activations = try mapping.choice("activations") ?? activations
        activationType = try mapping.choice("activation_type") ?? activationType
        if let own = try mapping.integer("group", of: Treatment.groups) {
            group = own
            if case .widths(let widths, _)? = choices { choices = .widths(widths, groups: nil) }
        }
        symmetric = try mapping.boolean("symmetric") ?? symmetric
        scales = try mapping.choice("scales") ?? scales
        actOrder = try mapping.choice("act_order") ?? actOrder
        staticGroups = try mapping.boolean("static_groups") ?? staticGroups
        grid = try mapping.choice("grid") ?? grid
        damping = try mapping.number("damping", in: 1e-8...10) ?? base.damping
        maxDamping = try mapping.number("max_damping", in: 1e-8...100) ?? base.maxDamping
        target = try mapping.choice("target") ?? base.target
        targetStrength = try mapping.number("target_strength", in: 0...1) ?? (target == .dense ? base.targetStrength : nil)
        streamStrength = try mapping.number("stream_strength", in: 0...1) ?? (target == .dense ? base.streamStrength : nil)
        // A rule with another kind of method of its own does not take over how much the others prune.
        let inheritsPruning = try mapping.choice("method", Method.self)?.prunes ?? true
        let ownSparsity = budget?.areWidths == false ? nil : try mapping.sparsity("sparsity")
        sparsity = ownSparsity ?? (inheritsPruning ? base.sparsity : nil)
        if choices?.areWidths == false, ownSparsity != nil || !inheritsPruning { choices = nil }
        // A rule with a method of its own does not take over what is of another's alone.
        let ownMethod = try mapping.choice("method", Method.self)
        func inherits(_ method: Method) -> Bool { ownMethod.map { $0 == method } ?? true }
        outlierThreshold = try mapping.number("outlier_threshold", in: 0...1e6) ?? (inherits(.spqr) ? base.outlierThreshold : nil)
        sparsityBlock = try mapping.integer("sparsity_block", of: Treatment.sparsityBlocks) ?? (inherits(.exactobs) ? base.sparsityBlock : nil)
        maskBlock = try mapping.integer("mask_block", of: [32, 64, 128, 256, 512]) ?? (inheritsPruning ? base.maskBlock : nil)
    }
}

extension Evaluation {
    static let keys = ["source", "sequences", "length", "compute"]

    init(_ mapping: YAMLMapping) throws(RecipeError) {
        let file = try CalibrationSource.one(mapping, "source")
        (source, field) = (file.path, file.field)
        length = try mapping.integer("length", in: 2...Calibration.most) ?? 2048
        sequences = try mapping.integer("sequences", in: 1...Calibration.most)
        compute = try mapping.choice("compute") ?? .f32
    }
}
