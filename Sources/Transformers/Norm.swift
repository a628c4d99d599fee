// A normalisation of rows as data.

/// RMS normalisation (Zhang and Sennrich 2019) or layer normalisation (Ba et al. 2016) of rows, with learned weight and bias.
public struct Norm: Sendable, Hashable {
    public enum Kind: Sendable {
        case rootMeanSquare
        /// Whose learned numbers are added to 1 to give the weight (Gemma).
        case zeroCentredRootMeanSquare
        case layer
    }

    public let kind: Kind
    /// Elements of a row.
    public let size: Int
    public let epsilon: Float
    /// Tensor names.
    public let weight: String
    public let bias: String?
    /// Where heads have weights of their own, how many there are: the tensor is then [heads, size].
    var heads: Int? = nil

    /// The shape of the weight's tensor.
    var shape: [Int] { heads.map { [$0, size] } ?? [size] }

    /// What is multiplied with.
    ///
    /// - Parameter stored: the numbers of the weight's tensor.
    package func gain(_ stored: [Float]) -> [Float] { kind == .zeroCentredRootMeanSquare ? stored.map { 1 + $0 } : stored }

    static func rootMeanSquare(_ name: String, size: Int, epsilon: Float) -> Norm {
        Norm(kind: .rootMeanSquare, size: size, epsilon: epsilon, weight: name + ".weight", bias: nil)
    }

    static func layer(_ name: String, size: Int, epsilon: Float) -> Norm {
        Norm(kind: .layer, size: size, epsilon: epsilon, weight: name + ".weight", bias: name + ".bias")
    }

    /// Of a kind, without bias.
    static func plain(_ kind: Kind, _ name: String, size: Int, epsilon: Float, heads: Int? = nil) -> Norm {
        Norm(kind: kind, size: size, epsilon: epsilon, weight: name + ".weight", bias: nil, heads: heads)
    }
}
