// The weights with which an expert runs forward.

package import LinearAlgebra
package import Transformers

/// Both stages of an expert, ready to take tokens.
package struct ExpertWeights: Sendable {
    private let forward: Forward
    private let stages: [Stage]
    /// Of each stage, of each piece, those of its parts.
    private var weights: [[[LinearWeights]]]
    private let contexts: [EffectContext]

    /// - Parameter weights: of the first stage, or of both.
    package init(_ stages: [Stage], weights: [[[LinearWeights]]], forward: Forward) throws {
        (self.forward, self.stages, self.weights) = (forward, stages, weights)
        contexts = try stages.map { try forward.context(of: $0) }
    }

    /// Takes in the weights of the second stage.
    package mutating func append(_ second: [[LinearWeights]]) { weights.append(second) }

    /// What the first stage makes of some tokens: [tokens, columns of the second].
    package func activated(_ input: Operand) -> Operand { forward.result(of: stages[0], weights: weights[0], input, contexts[0]) }

    /// What the second stage makes of that: [tokens, hidden].
    package func outputs(_ activated: Operand) -> Matrix<Float> {
        guard case .f32(let outputs) = forward.result(of: stages[1], weights: weights[1], activated, contexts[1]) else {
            preconditionFailure("outputs of an expert that are not in fp32")
        }
        return outputs
    }
}
