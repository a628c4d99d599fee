// The end of a half of a block: outputs join the residual stream.

internal import CKernels
internal import LinearAlgebra

/// The output is added to the residual stream.
struct Addition: StageEffect {
    /// Whether at once, or when the block ends, so that later stages still read what the stream was before.
    let isPending: Bool
    /// What the output is multiplied by; nil: 1.
    let scale: Float?
    /// Of the whole output before it is added at once; nil: none.
    var norm: Norm?

    /// - Parameter isPending: see the property.
    init(isPending: Bool = false, scale: Float? = nil, norm: Norm? = nil) {
        self.isPending = isPending
        self.scale = scale
        self.norm = norm
    }

    var norms: [Norm] { norm.map { [$0] } ?? [] }

    func renamed(_ file: (String) -> String) -> Addition { Addition(isPending: isPending, scale: scale, norm: norm?.renamed(file)) }

    func destination(of linears: [Linear]) -> Destination { norm.map { .normalised($0) } ?? (isPending ? .pending : .residual) }

    var streamScale: Float? { isPending || norm != nil || scale == 0 ? nil : scale ?? 1 }

    /// result += W x, a product of its own and then a sum: the same product, whatever lies beside the target.
    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget) {
        let output = weights[0].apply(to: input)
        if let scale {
            forEachRowRange(output.rows) { rows in
                for row in rows { cleave_scale(output.row(row), output.columns, scale) }
            }
        }
        target.put(output)
    }
}
