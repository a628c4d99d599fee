// Whether sequences fit the positions that a model has.

package import Failures
internal import MessagePassing
package import Recipes
package import Transformers

extension Architecture {
    /// Checks the lengths of a recipe's sequences.
    ///
    /// - Returns: what the user should know of them.
    /// - Throws: `PipelineError` for sequences longer than learned positions, or than the model is computed for.
    package func checkLengths(_ recipe: Recipe) throws(PipelineError) -> [String] {
        var remarks: [String] = []
        if let calibration = recipe.calibration { remarks += try checkLength(calibration.length, key: "`calibration.length`") }
        if let evaluation = recipe.evaluation { remarks += try checkLength(evaluation.length, key: "`evaluation.length`") }
        return remarks
    }

    /// - Parameter key: what the user changes to shorten the sequences.
    fileprivate func checkLength(_ length: Int, key: String) throws(PipelineError) -> [String] {
        if let limit = lengthLimit, length > limit.tokens {
            throw PipelineError(
                .badInput,
                "\(key) asks for sequences of \(length) tokens, but `\(limit.key)` of config.json is \(limit.tokens): \(limit.reason); "
                    + "make it \(limit.tokens) at most")
        }
        guard length > maximumPositions else { return [] }
        guard !embedding.isBounded else {
            throw PipelineError(
                .badInput,
                "\(key) asks for sequences of \(length) tokens, but the model has learned \(maximumPositions) positions; make it \(maximumPositions) at most")
        }
        return [
            "\(key) asks for sequences of \(length) tokens, and the model was made for \(maximumPositions) positions (`max_position_embeddings`): it is computed "
                + "beyond them, as transformers does, where it was never trained"
        ]
    }
}

extension Model {
    /// Checks the length of windows; the same on all ranks.
    ///
    /// - Parameter key: what the user changes to shorten them.
    /// - Returns: what the user should know of it.
    /// - Throws: an `AgreedFailure` with exit code 65 for windows longer than learned positions.
    public func checkLength(_ length: Int, key: String) throws -> [String] {
        do {
            return try architecture.checkLength(length, key: key)
        } catch {
            throw AgreedFailure(rank: 0, exitCode: error.kind.rawValue, description: error.description)
        }
    }
}
