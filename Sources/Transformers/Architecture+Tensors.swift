// Every tensor that a model needs, so that a checkpoint can be checked before work starts.

/// A tensor by name, and its shape as stored.
public struct ExpectedTensor: Sendable, Hashable {
    public let name: String
    public let shape: [Int]

    func renamed(_ file: (String) -> String) -> ExpectedTensor { ExpectedTensor(name: file(name), shape: shape) }
}

extension Architecture {
    /// Every tensor that the forward pass reads, once, in the model's order.
    public func expectedTensors() -> [ExpectedTensor] {
        var tensors = [ExpectedTensor(name: embedding.tokens, shape: [vocabularySize, hiddenSize])]
        if let positions = embedding.positions {
            tensors.append(ExpectedTensor(name: positions.tensor, shape: [positions.rows, hiddenSize]))
        }
        if let norm = embedding.norm { tensors += Self.tensors(norm) }
        for block in blocks {
            // Experts share the norm before them, and some also the tensors of their weights.
            var norms: Set<Norm> = []
            var shared: Set<String> = []
            for stage in block.stages {
                if let norm = stage.input.norm, norms.insert(norm).inserted { tensors += Self.tensors(norm) }
                let own = Set(stage.linears.filter { $0.slice != nil }.flatMap { [$0.weight] + ($0.bias.map { [$0] } ?? []) })
                tensors += Self.tensors(stage).filter { !own.contains($0.name) || shared.insert($0.name).inserted }
            }
            if let router = block.mixture?.router {
                tensors += Self.tensors(router.linear)
                tensors += (router.rule.correction.map { [ExpectedTensor(name: $0, shape: [router.experts])] } ?? [])
            }
        }
        tensors += Self.tensors(finalNorm)
        // A tied head may have a bias of its own.
        tensors += Self.tensors(head.linear).filter { !head.isTied || $0.name == head.linear.bias }
        return tensors
    }

    private static func tensors(_ stage: Stage) -> [ExpectedTensor] {
        stage.linears.flatMap(Self.tensors) + stage.effect.norms.flatMap(Self.tensors) + stage.effect.ownLinears.flatMap(Self.tensors)
            + stage.effect.parameters
    }

    private static func tensors(_ norm: Norm) -> [ExpectedTensor] {
        [ExpectedTensor(name: norm.weight, shape: norm.shape)] + (norm.bias.map { [ExpectedTensor(name: $0, shape: [norm.size])] } ?? [])
    }

    private static func tensors(_ linear: Linear) -> [ExpectedTensor] {
        let weight = ExpectedTensor(name: linear.weight, shape: linear.storedShape)
        return [weight] + (linear.bias.map { [ExpectedTensor(name: $0, shape: linear.storedBiasShape)] } ?? [])
    }
}
