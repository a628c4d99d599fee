// The methods by which linears are compressed.

/// How a linear is compressed.
public enum Method: String, Sendable, Codable, CaseIterable {
    case gptq
    /// Rounding to nearest.
    case rtn
    case sparsegpt
    /// Pruning by magnitude.
    case magnitude
    case wanda

    public var needsHessian: Bool { [.gptq, .sparsegpt, .wanda].contains(self) }

    /// Whether weights become zero.
    public var prunes: Bool { [.sparsegpt, .magnitude, .wanda].contains(self) }
}
