// Reading the formats of compressed-tensors that are numbers times scales: FP8, INT8, MXFP8, MXFP4, NVFP4.

internal import JSON
public import Safetensors

/// `X.weight` (or `X.weight_packed`, two numbers to a byte), `X.weight_scale`, and in NVFP4 `X.weight_global_scale`, by which scales are divided.
public struct CompressedTensorsNumbersReader: ScaledWeightReader {
    public let name: String
    public let quantizesActivations: Bool
    private let configuration: CompressedTensorsConfiguration

    /// - Parameter quantization: the `quantization_config` of config.json.
    /// - Returns: nil where no group has such a format.
    init?(_ quantization: JSONValue) throws(PackingError) {
        configuration = try CompressedTensorsConfiguration(quantization)
        let formats = Set(configuration.numbers.map(\.format))
        guard let first = formats.min() else { return nil }
        name = formats.count == 1 ? first : "compressed-tensors mixed-precision"
        quantizesActivations = configuration.numbers.contains(where: \.quantizesActivations)
    }

    public func weights(_ names: [String], module: (String) -> String, _ description: (String) -> TensorDescription?) throws(PackingError) -> [ScaledWeight] {
        var weights: [ScaledWeight] = []
        for name in names {
            let isPacked = name.hasSuffix(".weight_packed"), type = description(name)?.type
            guard let linear = name.without(suffix: isPacked ? ".weight_packed" : ".weight"), let found = description(name),
                isPacked ? type == .u8 : type == .f8e4m3 || type == .i8
            else { continue }
            guard let scheme = try configuration.numbers(module(linear)) else {
                throw PackingError(
                    "tensor \(name) is of type \(found.type.rawValue), and config.json names no scheme for \(module(linear)) with which it could be read")
            }
            let expected: ElementType = scheme.storage == .float8 ? .f8e4m3 : scheme.storage == .int8 ? .i8 : .u8
            guard found.type == expected else {
                throw PackingError("tensor \(name) is of type \(found.type.rawValue), expected \(expected.rawValue) (\(scheme.format))")
            }
            guard found.shape.count == 2, found.shape[1] < largestGroup else {
                throw PackingError("tensor \(name) has shape \(found.shape), which is no matrix")
            }
            let shape = isPacked ? [found.shape[0], found.shape[1] * 2] : found.shape
            weights.append(
                try ScaledWeight(
                    linear + ".weight", Self.form(scheme), numbers: name, shape: shape, scales: linear + ".weight_scale",
                    divisor: scheme.storage == .nvfp4 ? linear + ".weight_global_scale" : nil,
                    zeroPoints: scheme.symmetric ? nil : linear + ".weight_zero_point", description))
        }
        return weights
    }

    private static func form(_ scheme: CompressedTensorsNumbers) -> ScaledWeight.Form {
        let plain: [ElementType: ScaledWeight.Scale] = [.f32: .f32, .f16: .f16, .bf16: .bf16],
            exponents: [ElementType: ScaledWeight.Scale] = [.u8: .e8m0, .f8e8m0: .e8m0]
        let (number, scales): (ScaledWeight.Number, [ElementType: ScaledWeight.Scale]) =
            switch scheme.storage {
            case .float8: (.e4m3, plain.merging(exponents) { first, _ in first })
            case .int8: (.int8, plain)
            case .mxfp4: (.e2m1, exponents)
            case .nvfp4: (.e2m1, [.f8e4m3: .e4m3])
            }
        return ScaledWeight.Form(format: scheme.format, number: number, block: (scheme.blockRows, scheme.blockColumns), scales: scales)
    }
}
