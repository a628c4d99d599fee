// Reading what NVIDIA's Model Optimizer writes: FP8, MXFP8, MXFP4 and NVFP4 in Hugging Face checkpoints.

internal import JSON
public import Safetensors

/// `quant_method: modelopt`: `X.weight` in F8_E4M3, or in U8 with two numbers of E2M1 to a byte, `X.weight_scale`, and in NVFP4 `X.weight_scale_2`, by which scales
/// are multiplied. Which of the forms a weight has, its tensors' types say.
///
/// Source: Model Optimizer, `torch/export/convert_hf_config.py`, `quant_utils.py`.
public struct ModelOptReader: ScaledWeightReader {
    public let name = "modelopt"
    public let quantizesActivations: Bool

    /// The algorithms whose weights are numbers times scales.
    private static let algorithms: Set = [
        "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "NVFP4", "W4A16_NVFP4", "W4A8_NVFP4_FP8", "MXFP8", "MXFP4", "W4A8_MXFP4_FP8",
    ]

    /// - Parameter quantization: the `quantization_config` of config.json.
    init(_ quantization: JSONValue) throws(PackingError) {
        for (key, value) in quantization.object ?? [] where !value.saysNothing {
            // Types and shapes of the tensors say what groups and layers do.
            guard ["quant_method", "quant_algo", "config_groups", "ignore", "kv_cache_scheme", "producer", "quantized_layers"].contains(key) else {
                throw PackingError("`quantization_config.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        let layers = quantization["quantized_layers"]?.object?.map { $0.value["quant_algo"] } ?? []
        let whole = quantization["quant_algo"]
        let found = (layers.isEmpty ? [whole] : layers).map { $0?.string?.uppercased() ?? "absent" }
        if let other = Set(found).subtracting(Self.algorithms).min() {
            throw PackingError(
                "`quant_algo` of Model Optimizer is `\(other)`; what can be read is \(Self.algorithms.sorted().joined(separator: ", "))")
        }
        quantizesActivations = found.contains { $0 != "W4A16_NVFP4" }
    }

    /// In which numbers clients keep keys and values, in words; nil: in the model's.
    static func cacheScheme(_ quantization: JSONValue) -> String? {
        quantization["kv_cache_scheme"]?.string.map { "\($0) by tensor" } ?? CompressedTensorsConfiguration.cacheScheme(quantization)
    }

    public func weights(_ names: [String], module: (String) -> String, _ description: (String) -> TensorDescription?) throws(PackingError) -> [ScaledWeight] {
        var weights: [ScaledWeight] = []
        for name in names {
            guard let linear = name.without(suffix: ".weight"), let found = description(name), found.type == .f8e4m3 || found.type == .u8 else { continue }
            if description(linear + ".pre_quant_scale") != nil {
                throw PackingError("tensor \(linear).pre_quant_scale multiplies the inputs of \(linear), which Cleave does not compute")
            }
            guard found.shape.count == 2, found.shape[1] < largestGroup else {
                throw PackingError("tensor \(name) has shape \(found.shape), which is no matrix")
            }
            let scales = linear + ".weight_scale", isPacked = found.type == .u8
            guard let form = form(found, description(scales)) else {
                throw PackingError(
                    "tensor \(scales) is \(description(scales).map { "\($0.type.rawValue) \($0.shape)" } ?? "missing"), with which \(name) (\(found.type.rawValue) "
                        + "\(found.shape)) cannot be read (\(self.name))")
            }
            weights.append(
                try ScaledWeight(
                    name, form, numbers: name, shape: isPacked ? [found.shape[0], found.shape[1] * 2] : found.shape, scales: scales,
                    factor: form.scales.values.contains(.e4m3) ? linear + ".weight_scale_2" : nil, description))
        }
        return weights
    }

    /// What the tensor of scales says of its numbers; nil where they do not go together.
    private func form(_ numbers: TensorDescription, _ scales: TensorDescription?) -> ScaledWeight.Form? {
        guard let scales else { return nil }
        let plain: [ElementType: ScaledWeight.Scale] = [.f32: .f32, .f16: .f16, .bf16: .bf16]
        let isPacked = numbers.type == .u8, number = isPacked ? ScaledWeight.Number.e2m1 : .e4m3
        let kind: (block: (rows: Int?, columns: Int?), scales: [ElementType: ScaledWeight.Scale])
        switch (isPacked, scales.type) {
        case (true, .f8e4m3): kind = ((1, 16), [.f8e4m3: .e4m3])
        case (_, .u8): kind = ((1, 32), [.u8: .e8m0])
        case (false, _) where plain[scales.type] != nil: kind = (scales.shape.reduce(1, *) == 1 ? (nil, nil) : (1, nil), plain)
        default: return nil
        }
        return ScaledWeight.Form(format: name, number: number, block: kind.block, scales: kind.scales)
    }
}
