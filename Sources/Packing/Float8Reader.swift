// Reading weights in FP8 with scales of blocks, as DeepSeek-V3 and most large models are published.

internal import JSON
public import Safetensors

/// `quant_method: fp8`: `X.weight` in F8_E4M3, and `X.weight_scale_inv` or `X.weight_scale`, by which it is multiplied.
///
/// Source: DeepSeek-V3, `README_WEIGHTS.md` and `inference/kernel.py`; transformers, `FineGrainedFP8Config`. What lies in F8_E4M3 is read with its scales and
/// what does not as it is, whatever `modules_to_not_convert` says.
public struct Float8Reader: ScaledWeightReader {
    public let name = "fp8"
    public let quantizesActivations: Bool
    private let form: ScaledWeight.Form

    /// - Parameter quantization: the `quantization_config` of config.json.
    init(_ quantization: JSONValue) throws(PackingError) {
        var block: (rows: Int?, columns: Int?) = (nil, nil)
        var scales: [ElementType: ScaledWeight.Scale] = [.f32: .f32, .f16: .f16, .bf16: .bf16, .f8e8m0: .e8m0]
        for (key, value) in quantization.object ?? [] where !value.saysNothing {
            switch key {
            // Which modules are stored plain, their tensors' types say; how activations are quantized concerns those who do it.
            case "quant_method", "modules_to_not_convert", "ignored_layers", "activation_scheme", "dequantize": break
            case "fmt":
                guard ["e4m3", "float8_e4m3fn", "float8_e4m3"].contains(value.string) else { throw Self.refusal(key, value, "e4m3") }
            case "weight_block_size":
                let sizes = value.array?.map { $0.integer ?? 0 } ?? []
                guard sizes.count == 2, sizes.allSatisfy({ (1...largestGroup).contains($0) }) else {
                    throw Self.refusal(key, value, "rows and columns of a block, such as [128, 128]")
                }
                block = (sizes[0], sizes[1])
            case "scale_fmt":
                // Scales may be stored in a wider type all the same.
                guard ["ue8m0", "float"].contains(value.string) else { throw Self.refusal(key, value, "ue8m0 or float") }
                if value.string == "ue8m0" { scales[.u8] = .e8m0 }
            default: throw PackingError("`quantization_config.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        quantizesActivations = !(quantization["activation_scheme"]?.saysNothing ?? true)
        form = ScaledWeight.Form(format: name, number: .e4m3, block: block, scales: scales)
    }

    private static func refusal(_ key: String, _ value: JSONValue, _ readable: String) -> PackingError {
        PackingError("`quantization_config.\(key)` is `\(value.plainText)`; what can be read is \(readable)")
    }

    public func weights(_ names: [String], module: (String) -> String, _ description: (String) -> TensorDescription?) throws(PackingError) -> [ScaledWeight] {
        var weights: [ScaledWeight] = []
        for name in names {
            guard let found = description(name), found.type == .f8e4m3 else { continue }
            let candidates = ["_scale_inv", "_scale"].map { name + $0 }.filter { description($0) != nil }
            guard candidates.count == 1 else {
                throw PackingError(
                    candidates.isEmpty
                        ? "tensor \(name) is of type F8_E4M3, and has no scales (\(name)_scale_inv) with which it could be read"
                        : "tensor \(name) is of type F8_E4M3, and has two tensors of scales: \(candidates.joined(separator: ", "))")
            }
            weights.append(try ScaledWeight(name, form, numbers: name, shape: found.shape, scales: candidates[0], description))
        }
        return weights
    }
}
