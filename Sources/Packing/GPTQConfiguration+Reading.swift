// Reading the keys of GPTQ's formats and Marlin's; what they say beyond how codes lie, and changes what a model computes, is refused by name.

internal import Compression
internal import Foundation
internal import JSON

extension GPTQConfiguration {
    init(_ quantization: JSONValue) throws(PackingError) {
        try Self.checkKeys(quantization, of: "quantization_config")
        guard quantization["bits"] != nil else { throw PackingError("`quantization_config` has no `bits`") }
        let isOrdered = quantization["meta"]?["act_group_aware"]?.boolean ?? false
        let start = Settings(QuantizationOptions(bits: 4, group: 128, symmetric: true))
        let base = try Self.settings(quantization, base: start, isOrdered: isOrdered, place: "quantization_config")
        var exact: [String: Settings?] = [:]
        var patterns: [(pattern: String, settings: Settings?)] = []
        for (key, value) in quantization["dynamic"]?.object ?? [] {
            let isKept = key.hasPrefix("-:")
            if !isKept { try Self.checkKeys(value, of: "dynamic.\(key)") }
            let pattern = String(isKept || key.hasPrefix("+:") ? key.dropFirst(2) : key[...])
            let settings: Settings? =
                isKept
                ? nil
                : try Self.settings(value, base: base, isOrdered: value["act_group_aware"]?.boolean ?? base.isOrdered, place: "dynamic.\(key)")
            if let name = Self.literal(pattern) { exact[name] = .some(settings) } else { patterns.append((pattern: pattern, settings: settings)) }
        }
        self.base = base
        self.exact = exact
        self.patterns = patterns
    }

    private static func settings(_ value: JSONValue, base: Settings, isOrdered: Bool, place: String) throws(PackingError) -> Settings {
        let bits = value["bits"].map { $0.integer ?? 0 } ?? base.bits
        guard [2, 3, 4, 8].contains(bits) else { throw PackingError("`\(place)` asks for other codes than those of 2, 3, 4 or 8 bits") }
        let group = value["group_size"].map { $0.integer ?? 0 } ?? base.group
        guard group == -1 || (1...largestGroup).contains(group) else { throw PackingError("`\(place)` has a `group_size` that is neither -1 nor at least 1") }
        let isPermuted = try flag("desc_act", in: value, place) ?? base.isPermuted
        var settings = base
        settings.bits = bits
        settings.group = group
        settings.symmetric = try flag("sym", in: value, place) ?? base.symmetric
        // A row that is one group has nothing to permute.
        settings.isPermuted = isPermuted && group > 0
        settings.isOrdered = isOrdered && group > 0 && !isPermuted
        return settings
    }

    private static func flag(_ key: String, in value: JSONValue, _ place: String) throws(PackingError) -> Bool? {
        guard let found = value[key] else { return nil }
        guard let flag = found.boolean else { throw PackingError("`\(place).\(key)` must be true or false, found `\(found.plainText)`") }
        return flag
    }

    /// Keys of GPTQModel, AutoGPTQ, optimum, transformers and AutoRound that tell how codes were found, or how clients shall run them.
    private static let remarks: Set = [
        "act_group_aware", "amp", "auto_forward_data_parallel", "autoround_version", "awq_gemm_checkpoint", "backend", "batch_size", "block_name_to_quantize",
        "cache_block_outputs", "calibration_data_device", "compute_device_filter", "damp_auto_increment", "damp_percent", "dataset", "dense_vram_strategy",
        "dense_vram_strategy_devices", "device", "disable_exllama", "enable_minmax_tuning", "enable_norm_bias_tuning", "enable_quanted_input", "exllama_config",
        "failsafe", "fallback", "foem", "gc_mode", "gptaq", "gradient_accumulate_steps", "hessian", "iters", "low_gpu_mem_usage", "lr", "max_input_length",
        "meta", "minmax_lr", "model_file_base_name", "model_name_or_path", "model_seqlen", "module_name_preceding_first_block",
        "modules_in_block_to_quantize", "moe", "moe_vram_strategy", "moe_vram_strategy_devices", "mse", "n_samples", "nsamples", "offload_to_disk",
        "offload_to_disk_path", "pack_impl", "pad_token_id", "quant_block_list", "scale_dtype", "seqlen", "static_attention_granularity", "static_groups",
        "static_kv_granularity", "telemetry",
        "to_quant_block_names", "tokenizer", "train_bs", "true_sequential", "use_cuda_fp16", "use_exllama", "v2", "version", "vram_strategy",
        "wait_for_submodule_finalizers",
    ]

    private static func checkKeys(_ object: JSONValue, of place: String) throws(PackingError) {
        for (key, value) in object.object ?? [] where !remarks.contains(key) && !value.saysNothing {
            switch key {
            case "quant_method", "method", "bits", "group_size", "desc_act", "sym", "dynamic", "lm_head", "checkpoint_format", "format", "is_marlin_format":
                break
            case "pack_dtype":
                guard ["int32", "torch.int32"].contains(value.string) else {
                    throw PackingError("`\(place).pack_dtype` is `\(value.plainText)`; codes in words of `int32` can be read")
                }
            case "data_type":
                guard value.string == "int" else { throw PackingError("`\(place).data_type` is `\(value.plainText)`; `int` can be read") }
            case "adapter", "rotation", "activation":
                throw PackingError("`\(place).\(key)` changes what the model computes, in a way that Cleave does not compute")
            default:
                throw PackingError("`\(place).\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
    }

    /// The name that a pattern such as `exactPattern` makes stands for; nil for other patterns.
    private static func literal(_ pattern: String) -> String? {
        guard pattern.hasPrefix("^"), pattern.hasSuffix("$") else { return nil }
        let name = pattern.dropFirst().dropLast().replacingOccurrences(of: "\\.", with: ".")
        return exactPattern(name) == pattern && name.allSatisfy { $0.isLetter || $0.isNumber || "._-".contains($0) } ? name : nil
    }

    /// - Throws: when two patterns say different things: which one comes first is not told by JSON.
    func settings(_ linear: String) throws(PackingError) -> Settings {
        var found: [Settings?] = exact[linear].map { [$0] } ?? []
        found += patterns.filter { linear.range(of: "^(?:\($0.pattern))", options: .regularExpression) != nil }.map(\.settings)
        guard let first = found.first else { return base }
        guard found.allSatisfy({ $0 == first }) else { throw PackingError("patterns of `dynamic` say different things of \(linear)") }
        guard let first else { throw PackingError("`dynamic` says that \(linear) is not compressed, but its codes are there") }
        return first
    }
}
