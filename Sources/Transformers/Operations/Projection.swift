// Outputs that are left as they are.

/// W x is left for later stages: the outputs of all linears side by side.
struct Projection: StageEffect {
    func destination(of linears: [Linear]) -> Destination {
        .value(Value(name: linears[0].name, columns: linears.reduce(0) { $0 + $1.rows }))
    }

    var leavesOutputs: Bool { true }

    /// Pieces of one linear each.
    func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        var start = 0
        return linears.enumerated().flatMap { index, linear in
            defer { start += linear.rows }
            return evenRanges(linear.rows, unit: 32, leastSize: leastRows).map { rows in
                Piece(parts: [Piece.Part(linear: index, rows: rows)], effect: self, columns: start + rows.lowerBound..<start + rows.upperBound)
            }
        }
    }

    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        target.put(weights[0].apply(to: input))
    }
}
