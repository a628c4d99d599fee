// A normalisation of rows as data.

/// RMS normalisation (Zhang and Sennrich 2019) or layer normalisation (Ba et al. 2016) of rows, with learned weight and bias.
public struct Norm: Sendable, Equatable, Codable {
    public enum Kind: String, Sendable, Codable {
        case rootMeanSquare
        case layer
    }

    public let kind: Kind
    /// Elements of a row.
    public let size: Int
    public let epsilon: Float
    /// Tensor names.
    public let weight: String
    public let bias: String?

    static func rootMeanSquare(_ name: String, size: Int, epsilon: Float) -> Norm {
        Norm(kind: .rootMeanSquare, size: size, epsilon: epsilon, weight: name + ".weight", bias: nil)
    }

    static func layer(_ name: String, size: Int, epsilon: Float) -> Norm {
        Norm(kind: .layer, size: size, epsilon: epsilon, weight: name + ".weight", bias: name + ".bias")
    }
}
