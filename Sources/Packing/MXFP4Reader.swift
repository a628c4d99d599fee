// Reading experts in MXFP4, as gpt-oss is published.

internal import JSON
public import Safetensors

/// `quant_method: mxfp4`: `X_blocks` in U8 [experts, outputs, groups, 16] holds the numbers of X, two to a byte, `X_scales` in U8 [experts, outputs, groups] the
/// exponents of each 32. The dense model has X transposed.
///
/// Source: transformers, `integrations/mxfp4.py`.
public struct MXFP4Reader: ScaledWeightReader {
    public let name = "mxfp4"
    public let quantizesActivations = false

    /// - Parameter quantization: the `quantization_config` of config.json.
    init(_ quantization: JSONValue) throws(PackingError) {
        for (key, value) in quantization.object ?? [] where !value.saysNothing {
            // Which modules are stored plain, their tensors say.
            guard ["quant_method", "modules_to_not_convert", "dequantize"].contains(key) else {
                throw PackingError("`quantization_config.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
    }

    /// Numbers that share a scale.
    private static let group = 32

    public func weights(_ names: [String], module: (String) -> String, _ description: (String) -> TensorDescription?) throws(PackingError) -> [ScaledWeight] {
        var weights: [ScaledWeight] = []
        let form = ScaledWeight.Form(format: name, number: .e2m1, block: (1, Self.group), scales: [.u8: .e8m0], isTransposed: true)
        for blocks in names {
            guard let weight = blocks.without(suffix: "_blocks"), let found = description(blocks) else { continue }
            guard found.type == .u8, found.shape.count == 4, found.shape[3] == Self.group / 2, found.shape[2] < largestGroup else {
                throw PackingError(
                    "tensor \(blocks) is \(found.type.rawValue) \(found.shape), expected U8 [experts, outputs, groups, \(Self.group / 2)] (\(name))")
            }
            let shape = [found.shape[0], found.shape[1], found.shape[2] * Self.group]
            weights.append(try ScaledWeight(weight, form, numbers: blocks, shape: shape, scales: weight + "_scales", description))
        }
        return weights
    }
}
