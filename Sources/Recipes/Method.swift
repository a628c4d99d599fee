// The methods by which linears are compressed.

public import Compression

/// How a linear is compressed.
public enum Method: String, Sendable, Codable, CaseIterable {
    case gptq
    /// Rounding to nearest.
    case rtn
    case sparsegpt
    /// Masks and weights found together by the alternating direction method of multipliers.
    case admm
    /// Pruning by magnitude.
    case magnitude
    case wanda
    /// Optimal brain quantization: row by row, in each row's own order of columns.
    case obq
    /// Small groups whose scales are codes themselves, and outliers.
    case spqr
    /// Optimal brain surgeon pruning: row by row, one weight after the other.
    case exactobs

    public var needsHessian: Bool { [.gptq, .sparsegpt, .admm, .wanda, .obq, .exactobs, .spqr].contains(self) }

    /// Whether columns leave each row in an order of its own, for which the inverse of the Hessian is needed.
    public var eliminates: Bool { [.obq, .exactobs].contains(self) }

    /// What the damping is a share of.
    public var dampingScale: DampingScale { self == .admm ? .column : .mean }

    /// Of a second factor of the same Hessian, for methods that need one; see `FactorPlan`.
    public var penalty: Double? { self == .admm ? ADMM.penalty : nil }

    /// Whether weights become zero.
    public var prunes: Bool { [.sparsegpt, .admm, .magnitude, .wanda, .exactobs].contains(self) }

    /// Whether weights that are kept may be quantized, or all are.
    public var quantizes: Bool { ![.admm, .exactobs].contains(self) }
}
