// How large the inputs of linears are, and what is said where they are no numbers.

internal import Failures
internal import LinearAlgebra
package import MessagePassing
package import Transformers

extension AgreedFailure {
    /// - Parameter input: whose input it is.
    package static func notFinite(input name: String) -> AgreedFailure {
        AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
            description: "the input of \(name) has values that are not finite: the model overflows on this calibration text, or its weights are damaged "
                + "(with `compute: bf16`, try `compute: f32`)")
    }
}

extension Operand {
    /// The largest |x|; infinity when any value is infinite or NaN.
    package var maxMagnitude: Float {
        switch self {
        case .f32(let x): LinearAlgebra.maxMagnitude(x)
        case .bf16(let x): LinearAlgebra.maxMagnitude(x)
        }
    }
}
