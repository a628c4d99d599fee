// The activation functions of feed-forward stages, and their names in config.json.

internal import Glibc

/// An element-wise activation function.
public enum ActivationFunction: Sendable, CaseIterable {
    case relu
    /// x sigmoid(x).
    case silu
    /// x Phi(x), with the normal distribution function Phi.
    case gelu
    /// The tanh approximation of GELU (Hendrycks and Gimpel 2016).
    case geluTanh

    /// The names in transformers' ACT2FN (activations.py) of the functions above.
    private static let names: [String: ActivationFunction] = [
        "relu": .relu, "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_python": .gelu,
        "gelu_new": .geluTanh, "gelu_fast": .geluTanh, "gelu_pytorch_tanh": .geluTanh, "gelu_python_tanh": .geluTanh,
    ]

    init(_ configuration: Configuration, key: String, default fallback: String) throws(ArchitectureError) {
        guard let found = Self.names[try configuration.string(key, default: fallback)] else {
            throw configuration.unsupported(key, Self.names.keys.sorted().joined(separator: ", "))
        }
        self = found
    }

    /// The definition, element by element: what the kernels are tested against.
    package func callAsFunction(_ x: Double) -> Double {
        switch self {
        case .relu: max(x, 0)
        case .silu: x / (1 + exp(-x))
        case .gelu: 0.5 * x * erfc(-x / 2.0.squareRoot())
        // (1 + tanh y) / 2, without the cancellation where tanh y is near -1.
        case .geluTanh: x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        }
    }
}
