// The halves of what makes keys and values of the latent vector, written as GGUF has them.

internal import GGUF
internal import LinearAlgebra
internal import Models
internal import Packing
internal import Safetensors
internal import Transformers

extension LatentHalfRows {
    /// Writes the half, head by head.
    func write(as type: ElementType, from source: CheckpointParameters, to sink: TensorSink) throws {
        for head in 0..<heads.heads {
            let own = try source.matrix(tensor, rows: rows(ofHead: head))
            try writeNumbers(half == .keys ? own.transposed() : own, as: type, to: sink)
        }
    }
}
