// The gated activation of gpt-oss, whose arguments are cut.

internal import Glibc
internal import LinearAlgebra

/// (u + 1) g sigmoid(alpha g) is left for the next stage, the linears being gate and up: g at most the limit, u between the limit and its negative.
struct ClampedActivation: StageEffect {
    let alpha: Float
    let limit: Float

    func destination(of linears: [Linear]) -> Destination { .value(Value(name: linears[0].name, columns: linears[0].rows)) }

    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        let gates = weights[0].apply(to: input), ups = weights[1].apply(to: input)
        forEachRowRange(gates.rows) { rows in
            for row in rows {
                let (gate, up) = (gates.row(row), ups.row(row))
                for column in 0..<gates.columns {
                    let g = min(gate[column], limit), u = min(max(up[column], -limit), limit)
                    gate[column] = (u + 1) * g / (1 + exp(-alpha * g))
                }
            }
            target.rows(rows).put(gates.rows(rows))
        }
    }
}
