// Every tensor that a model needs, so that a checkpoint can be checked before work starts.

/// A tensor by name, and its shape as stored.
public struct ExpectedTensor: Sendable, Equatable {
    public let name: String
    public let shape: [Int]
}

extension Architecture {
    /// Every tensor that the forward pass reads, once, in the model's order.
    public func expectedTensors() -> [ExpectedTensor] {
        var tensors = [ExpectedTensor(name: embedding.tokens, shape: [vocabularySize, hiddenSize])]
        if let positions = embedding.positions {
            tensors.append(ExpectedTensor(name: positions.tensor, shape: [positions.rows, hiddenSize]))
        }
        for block in blocks { tensors += block.stages.flatMap(Self.tensors) }
        tensors += Self.tensors(finalNorm)
        if !head.isTied { tensors += Self.tensors(head.linear) }
        return tensors
    }

    private static func tensors(_ stage: Stage) -> [ExpectedTensor] {
        var tensors: [ExpectedTensor] = []
        if case .norm(let norm) = stage.input { tensors += Self.tensors(norm) }
        tensors += stage.linears.flatMap(Self.tensors)
        if case .attention(let attention) = stage.effect {
            tensors += [attention.queryNorm, attention.keyNorm].compactMap { $0 }.flatMap(Self.tensors)
        }
        return tensors
    }

    private static func tensors(_ norm: Norm) -> [ExpectedTensor] {
        [norm.weight, norm.bias].compactMap { $0 }.map { ExpectedTensor(name: $0, shape: [norm.size]) }
    }

    private static func tensors(_ linear: Linear) -> [ExpectedTensor] {
        let weight = ExpectedTensor(name: linear.weight, shape: linear.storedShape)
        return [weight] + (linear.bias.map { [ExpectedTensor(name: $0, shape: [linear.rows])] } ?? [])
    }
}
