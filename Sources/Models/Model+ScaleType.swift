// In which type the scales of a model's weights are stored.

package import Compression
internal import Failures
internal import Safetensors

extension Model {
    /// The type in which the scales of a weight are stored: the weight's own.
    package func scaleType(_ weight: String) throws -> ScaleType {
        switch tensors[weight]?.description.type.ofWeights {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case let other: throw PipelineError(.badInput, "tensor \(weight) is of type \(other?.rawValue ?? "none"); F64, F32, F16 or BF16 is needed")
        }
    }
}
