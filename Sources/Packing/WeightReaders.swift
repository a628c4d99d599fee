// Which readers take what a config.json describes.

public import JSON

/// The readers of a checkpoint's weights.
public struct WeightReaders: Sendable {
    /// Of codes and scales of linears.
    public let codes: (any WeightReader)?
    /// Of numbers times block scales.
    public let scaled: (any ScaledWeightReader)?
    /// In which numbers clients of the checkpoint keep keys and values of earlier tokens, in words; nil: in the model's.
    public let cacheScheme: String?

    init(codes: (any WeightReader)? = nil, scaled: (any ScaledWeightReader)? = nil, cacheScheme: String? = nil) {
        self.codes = codes
        self.scaled = scaled
        self.cacheScheme = cacheScheme
    }

    /// The readers of what a config.json describes.
    ///
    /// - Parameter quantization: the object `quantization_config`.
    /// - Throws: `PackingError` for a format that is not known, and for settings that no reader takes.
    public init(_ quantization: JSONValue) throws(PackingError) {
        guard quantization.object != nil else { throw PackingError("`quantization_config` must be an object, found \(quantization.kind)") }
        // Some versions of compressed-tensors put their object into another one of the same name, beside the sparsity's.
        if let inner = quantization["quantization_config"] {
            var merged = inner
            for (key, value) in quantization.object ?? [] where key != "quantization_config" && inner[key] == nil { merged = merged.setting(key, value) }
            self = try WeightReaders(merged)
            return
        }
        guard let method = quantization["quant_method"].map({ $0.string?.lowercased() ?? $0.plainText }) ?? loadingMethod(quantization) else {
            throw PackingError("`quantization_config` has no `quant_method`, so that it cannot be told how weights are compressed; \(remedy)")
        }
        let format = (quantization["checkpoint_format"] ?? quantization["format"])?.string?.lowercased()
        let isMarlin = quantization["is_marlin_format"]?.boolean == true
        switch (method, format) {
        case ("compressed-tensors", _):
            let scaled = try CompressedTensorsNumbersReader(quantization)
            let codes = try CompressedTensorsReader(quantization)
            self.init(
                codes: scaled == nil || codes.hasSchemes ? codes : nil, scaled: scaled, cacheScheme: CompressedTensorsConfiguration.cacheScheme(quantization))
        case ("gptq", _) where isMarlin, ("gptq", "marlin"), ("marlin", _): self.init(codes: try MarlinReader(quantization))
        case ("gptq", nil), ("gptq", "gptq"): self.init(codes: try GPTQReader(quantization, zeroPoints: .lessOne))
        case ("gptq", "gptq_v2"): self.init(codes: try GPTQReader(quantization, zeroPoints: .plain))
        case ("auto-round", _), ("auto_round", _): self.init(codes: try AutoRoundConfiguration.reader(quantization))
        case ("spqr", _): self.init(codes: try SpQRReader(quantization))
        case ("qmoe", _): self.init(codes: try QMoEReader(quantization))
        case ("fp8", _): self.init(scaled: try Float8Reader(quantization))
        case ("mxfp4", _): self.init(scaled: try MXFP4Reader(quantization))
        case ("modelopt", _), ("modelopt_fp4", _), ("modelopt_mixed", _):
            self.init(scaled: try ModelOptReader(quantization), cacheScheme: ModelOptReader.cacheScheme(quantization))
        default:
            throw PackingError(
                "quantization method `\(method)`\(format.map { " in format `\($0)`" } ?? "") cannot be read; known: auto-round, compressed-tensors, fp8, gptq, gptq_v2, marlin, "
                    + "modelopt, mxfp4, qmoe, spqr. Give the dense model; \(remedy)")
        }
    }
}

private let remedy = "where the weights are dense and this key was left over, remove `quantization_config` from config.json"

/// bitsandbytes' older spelling has no method.
private func loadingMethod(_ quantization: JSONValue) -> String? {
    quantization["load_in_4bit"]?.boolean == true || quantization["load_in_8bit"]?.boolean == true ? "bitsandbytes" : nil
}
