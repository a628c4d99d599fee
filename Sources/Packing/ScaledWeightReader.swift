// What finding weights that are numbers times block scales does, in every on-disk format.

public import Safetensors

/// Finds the weights of a checkpoint that one on-disk format stores as numbers times block scales.
public protocol ScaledWeightReader: Sendable {
    /// What messages call the format.
    var name: String { get }

    /// Whether clients of the format quantize activations too.
    var quantizesActivations: Bool { get }

    /// All such weights, those of modules that the model does not have too.
    ///
    /// - Parameters:
    ///   - names: of all tensors.
    ///   - module: what clients call a module of the checkpoint.
    /// - Throws: `PackingError` naming the first tensor that is not as the format has it.
    func weights(_ names: [String], module: (String) -> String, _ description: (String) -> TensorDescription?) throws(PackingError) -> [ScaledWeight]
}

extension String {
    /// What comes before an ending; nil where it has another.
    func without(suffix: String) -> String? { hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil }
}
