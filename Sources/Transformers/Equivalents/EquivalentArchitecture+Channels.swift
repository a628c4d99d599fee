// Which channels of a model can be scaled: columns that follow a norm, and outputs that reach other linears linearly.

extension EquivalentArchitecture {
    /// The channels of outputs that reach the columns of these linears; nil where they have no tensors of their own.
    static func channels(of values: OutputValues, _ linear: Linear, _ readers: [Linear]) -> Channels? {
        let count = values.count(rows: linear.rows)
        guard let columns = readers.first?.columns, columns % count == 0, ([linear] + readers).allSatisfy({ $0.slice == nil }) else { return nil }
        return Channels(readers: readers, count: count, size: values.size)
    }

    /// The norms of a block before linears: the columns of these are divided, and what the norm multiplies with grows as much.
    ///
    /// Those before a router stay: a column would need the size that suits all experts.
    mutating func equalizeNorms(_ block: Block) {
        var seen = Set<Norm>()
        for norm in block.stages.compactMap(\.input.norm) where seen.insert(norm).inserted {
            guard norm != block.mixture?.input.norm else {
                note(nil)
                continue
            }
            let stages = block.stages.filter { $0.input.norm == norm }
            let linears = stages.flatMap(\.linears), all = linears + stages.flatMap(\.effect.ownLinears)
            let isReadElsewhere = block.stages.contains { stage in stage.effect.reads.contains { $0.value == stages[0].input.value } }
            guard norm.heads == nil, !isReadElsewhere, all.allSatisfy({ $0.slice == nil }), !all.contains(where: isChanged),
                transforms[norm.weight] == nil
            else {
                note(nil)
                continue
            }
            let channels = Channels(readers: linears, count: norm.size)
            let grows = TensorTransform.Side(factors: .init(channels: channels, divides: false))
            let offset: Float? = norm.kind == .zeroCentredRootMeanSquare ? 1 : nil
            transforms[norm.weight] = TensorTransform(columns: grows, offset: offset)
            if let bias = norm.bias { transforms[bias] = TensorTransform(columns: grows) }
            let shrinks = TensorTransform.Side(factors: .init(channels: channels, divides: true))
            for linear in all {
                transforms[linear.weight] = linear.layout == .rowsByColumns ? TensorTransform(columns: shrinks) : TensorTransform(rows: shrinks)
            }
            note(channels)
        }
    }

    private func isChanged(_ linear: Linear) -> Bool { transforms[linear.weight] != nil }
}
