// Where the forward pass gets parameters from, and the parameters it keeps.

public import LinearAlgebra
internal import Synchronization

/// A checkpoint, as the forward pass reads it.
public protocol ParameterSource: Sendable {
    /// A whole tensor in fp32, shaped as stored; a tensor of one dimension comes as [1, n].
    func matrix(_ tensor: String) throws -> Matrix<Float>

    /// Rows of a tensor of two dimensions in fp32, in the order of `indices`, into [indices.count, columns].
    func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws
}

/// Reads vectors of parameters and keeps the latest: batches pass one block after another, and ask for the same few norms.
final class VectorCache: Sendable {
    private static let capacity = 32
    private let source: any ParameterSource
    private let vectors = Mutex<[String: [Float]]>([:])

    init(_ source: any ParameterSource) {
        self.source = source
    }

    func vector(_ tensor: String, size: Int) throws -> [Float] {
        if let found = vectors.withLock({ $0[tensor] }) { return found }
        let matrix = try source.matrix(tensor)
        try ForwardError.check(tensor, matrix, expected: [1, size])
        let vector = matrix.elements()
        vectors.withLock { vectors in
            if vectors.count >= Self.capacity { vectors.removeAll() }
            vectors[tensor] = vector
        }
        return vector
    }

    func weights(_ norm: Norm) throws -> NormWeights {
        NormWeights(
            norm: norm, weight: try vector(norm.weight, size: norm.size),
            bias: try norm.bias.map { try vector($0, size: norm.size) })
    }
}
