// What is said of inputs of linears that are no numbers.

internal import Failures
package import MessagePassing

extension AgreedFailure {
    /// - Parameter input: whose input it is.
    package static func notFinite(input name: String) -> AgreedFailure {
        AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
            description: "the input of \(name) has values that are not finite: the model overflows on this calibration text, or its weights are damaged "
                + "(with `compute: bf16`, try `compute: f32`)")
    }
}
