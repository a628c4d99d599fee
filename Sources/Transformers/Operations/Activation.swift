// Feed-forward activations: of one linear, or of a gate that multiplies what another gives.

internal import CKernels
internal import Glibc
internal import LinearAlgebra

/// activation(W x) is left for the next stage.
struct PlainActivation: StageEffect {
    let function: ActivationFunction

    func destination(of linears: [Linear]) -> Destination { .value(Value(name: linears[0].name, columns: linears[0].rows)) }

    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        let values = weights[0].apply(to: input)
        forEachRowRange(values.rows) { rows in
            for row in rows { function.apply(to: values.row(row), count: values.columns) }
            target.rows(rows).put(values.rows(rows))
        }
    }
}

/// activation(gate) * up is left for the next stage, the linears being gate and up.
struct GatedActivation: StageEffect {
    let function: ActivationFunction
    /// The share of a shared expert in each token's sum, sigmoid(x w), w: [1, hidden]; nil: 1. It multiplies what the last linear reads instead of what
    /// that linear gives: the same function, and a Hessian that weighs each token by its share.
    var share: Linear?
    /// Whether one linear has the rows of both, first those of the gate (Phi-3).
    var isFused = false

    var ownLinears: [Linear] { share.map { [$0] } ?? [] }

    func renamed(_ file: (String) -> String) -> GatedActivation { GatedActivation(function: function, share: share?.renamed(file), isFused: isFused) }

    func destination(of linears: [Linear]) -> Destination { .value(Value(name: linears[0].name, columns: columns(linears))) }

    private func columns(_ linears: [Linear]) -> Int { linears[0].rows / (isFused ? 2 : 1) }

    /// What the gate multiplies.
    func scalableValues(of linears: [Linear]) -> OutputValues? {
        let count = columns(linears)
        return OutputValues(linear: isFused ? 0 : 1, first: isFused ? count : 0, length: count, period: linears[0].rows, size: count)
    }

    /// Pieces of the same rows of gate and up.
    func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        let count = columns(linears)
        return evenRanges(count, unit: 32, leastSize: leastRows).map { rows in
            let up = isFused ? Piece.Part(linear: 0, rows: count + rows.lowerBound..<count + rows.upperBound) : Piece.Part(linear: 1, rows: rows)
            return Piece(parts: [Piece.Part(linear: 0, rows: rows), up], effect: self, columns: rows)
        }
    }

    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        let values = weights[0].apply(to: input)
        let factors = weights[1].apply(to: input)
        let shares = share.flatMap { context.linears[$0] }?.apply(to: input)
        forEachRowRange(values.rows) { rows in
            for row in rows {
                function.apply(to: values.row(row), count: values.columns)
                cleave_multiply(values.row(row), factors.row(row), values.columns)
                if let shares {
                    let share = 1 / (1 + exp(-shares[row, 0]))
                    for column in 0..<values.columns { values.row(row)[column] *= share }
                }
            }
            target.rows(rows).put(values.rows(rows))
        }
    }
}

extension Stage {
    /// The activation of its gate; nil of stages that are none of a gated feed-forward network.
    package var gate: ActivationFunction? { (effect as? GatedActivation)?.function }
}
