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

    public var needsHessian: Bool { [.gptq, .sparsegpt, .admm, .wanda].contains(self) }

    /// What the damping is a share of.
    public var dampingScale: DampingScale { self == .admm ? .column : .mean }

    /// Of a second factor of the same Hessian, for methods that need one; see `FactorPlan`.
    public var penalty: Double? { self == .admm ? ADMM.penalty : nil }

    /// Whether weights become zero.
    public var prunes: Bool { [.sparsegpt, .admm, .magnitude, .wanda].contains(self) }
}
