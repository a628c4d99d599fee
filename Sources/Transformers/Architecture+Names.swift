// An architecture with the tensor names of a checkpoint.

extension Architecture {
    /// The names of a checkpoint's tensors beside the family's, with which this architecture was made.
    ///
    /// - Parameters:
    ///   - tensors: the checkpoint's.
    ///   - predictors: blocks behind the last that predict further tokens.
    func names(_ tensors: Set<String>, _ names: ModuleNames, predictors: Int, source: String) throws(ArchitectureError) -> TensorNames {
        let own = expectedTensors().map(\.name) + [head.own.weight]
        func module(_ tensor: String) -> String { String(tensor[..<(tensor.lastIndex(of: ".") ?? tensor.endIndex)]) }
        // "model.layers.0" without its number.
        let blocks = blocks.first.map { String($0.name.dropLast(String($0.index).count)) } ?? ""
        return try TensorNames(
            tensors, names, modules: Set(own.map(module)), tie: head.isTied ? (module(embedding.tokens), module(head.own.weight)) : nil, blocks: blocks,
            blockCount: blockCount, predictors: predictors, source: source)
    }

    /// The same architecture, its tensors called as the checkpoint calls them; linears and blocks keep their family's names.
    func inFile(_ names: TensorNames) -> Architecture {
        guard !names.renamed.isEmpty else { return with(names: names) }
        let file = names.fileName
        return Architecture(
            family: family, hiddenSize: hiddenSize, vocabularySize: vocabularySize, maximumPositions: maximumPositions,
            embedding: Embedding(
                tokens: file(embedding.tokens),
                positions: embedding.positions.map { Embedding.Positions(tensor: file($0.tensor), rows: $0.rows, offset: $0.offset) },
                isBounded: embedding.isBounded, scale: embedding.scale, norm: embedding.norm?.renamed(file)),
            blocks: blocks.map { block in
                Block(
                    index: block.index, name: block.name, stages: block.stages.map { $0.renamed(file) }, router: block.mixture?.router.renamed(file))
            },
            finalNorm: finalNorm.renamed(file), head: head.renamed(file), lengthLimit: lengthLimit, names: names)
    }
}

extension Stage {
    fileprivate func renamed(_ file: (String) -> String) -> Stage {
        Stage(
            name: name, input: StageInput(source: input.source, norm: input.norm?.renamed(file)), linears: linears.map { $0.renamed(file) },
            effect: effect.renamed(file), tokenShare: tokenShare)
    }
}

extension Norm {
    func renamed(_ file: (String) -> String) -> Norm {
        Norm(kind: kind, size: size, epsilon: epsilon, weight: file(weight), bias: bias.map(file), heads: heads)
    }
}

extension Linear {
    func renamed(_ file: (String) -> String) -> Linear {
        Linear(name: name, rows: rows, columns: columns, weight: file(weight), bias: bias.map(file), layout: layout, slice: slice)
    }
}

extension Head {
    fileprivate func renamed(_ file: (String) -> String) -> Head {
        Head(own: own.renamed(file), embedding: embedding.map(file), modules: modules, scale: scale, softcap: softcap)
    }
}
