// Where the forward pass gets parameters from, and the parameters it keeps.

public import LinearAlgebra
internal import Synchronization

/// A checkpoint, as the forward pass reads it.
public protocol ParameterSource: Sendable {
    /// A whole tensor in fp32: of two dimensions shaped as stored, of others as [1, n].
    func matrix(_ tensor: String) throws -> Matrix<Float>

    /// Rows of a tensor of two dimensions, or of the matrices of one of three, one below the other, in fp32, in the order of `indices`, into [indices.count, columns].
    func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws

    /// Some columns of such rows: [indices.count, columns.count].
    func rows(_ tensor: String, _ indices: [Int32], columns: Range<Int>, into destination: Matrix<Float>) throws

    /// The type in which a tensor is stored.
    func type(of tensor: String) -> StoredType
}

extension ParameterSource {
    public func type(of tensor: String) -> StoredType { .f32 }

    /// For tensors of two dimensions, by way of the whole.
    public func rows(_ tensor: String, _ indices: [Int32], columns: Range<Int>, into destination: Matrix<Float>) throws {
        let whole = try matrix(tensor)
        for (position, index) in indices.enumerated() {
            destination.rows(position..<position + 1).assign(whole.rows(Int(index)..<Int(index) + 1).columns(columns))
        }
    }

    /// The bias of a linear whose weight is a part of a larger tensor: [1, linear.rows]
    public func bias(of linear: Linear, into destination: Matrix<Float>) throws {
        guard let (bias, slice) = linear.bias.flatMap({ bias in linear.slice.map { (bias, $0) } }) else { preconditionFailure("\(linear.name) is no slice") }
        let outputs = Matrix<Float>(uninitialized: 1, slice.outputs)
        try rows(bias, [Int32(slice.matrix)], into: outputs)
        for row in 0..<linear.rows { destination[0, row] = outputs[0, slice.output(ofRow: row)] }
    }

    /// Some rows of a linear's weight, whichever way the checkpoint has it: [rows.count, linear.columns]
    public func rows(of linear: Linear, _ rows: Range<Int>, into destination: Matrix<Float>) throws {
        guard !rows.isEmpty else { return }
        let matrix = linear.slice?.matrix ?? 0
        func output(_ row: Int) -> Int { linear.slice?.output(ofRow: row) ?? row }
        switch linear.layout {
        case .rowsByColumns:
            let first = matrix * (linear.slice?.outputs ?? linear.rows)
            try self.rows(linear.weight, rows.map { Int32(first + output($0)) }, into: destination)
        case .columnsByRows:
            let first = matrix * linear.columns, indices = (first..<first + linear.columns).map { Int32($0) }
            for start in stride(from: rows.lowerBound, to: rows.upperBound, by: Linear.rowsTransposedAtOnce) {
                let some = start..<min(start + Linear.rowsTransposedAtOnce, rows.upperBound)
                let outputs = output(some.lowerBound)..<output(some.upperBound - 1) + 1
                let window = Matrix<Float>(uninitialized: linear.columns, outputs.count)
                try self.rows(linear.weight, indices, columns: outputs, into: window)
                let transposed = window.transposed()
                for row in some {
                    let place = output(row) - outputs.lowerBound
                    destination.rows(row - rows.lowerBound..<row - rows.lowerBound + 1).assign(transposed.rows(place..<place + 1))
                }
            }
        }
    }
}

/// A type of a checkpoint's numbers.
public enum StoredType: Sendable {
    case f32
    case f16
    case bf16

    /// The nearest number of the type.
    func rounded(_ value: Double) -> Float {
        switch self {
        case .f32: Float(value)
        case .f16: Float(Float16(value))
        case .bf16: BFloat16(Float(value)).float
        }
    }
}

/// Reads vectors of parameters and keeps the latest: batches pass one block after another, and ask for the same few norms.
final class VectorCache: Sendable {
    private static let capacity = 32
    private let source: any ParameterSource
    private let vectors = Mutex<[String: [Float]]>([:])

    init(_ source: any ParameterSource) {
        self.source = source
    }

    func vector(_ tensor: String, size: Int) throws -> [Float] { try numbers(ExpectedTensor(name: tensor, shape: [size])) }

    /// The numbers of a tensor of any shape, in the order in which they are stored.
    func numbers(_ tensor: ExpectedTensor) throws -> [Float] {
        if let found = vectors.withLock({ $0[tensor.name] }) { return found }
        let matrix = try source.matrix(tensor.name)
        guard matrix.count == tensor.shape.reduce(1, *) else {
            throw ForwardError.tensorShape(tensor: tensor.name, found: [matrix.rows, matrix.columns], expected: tensor.shape)
        }
        let numbers = matrix.elements()
        vectors.withLock { vectors in
            if vectors.count >= Self.capacity { vectors.removeAll() }
            vectors[tensor.name] = numbers
        }
        return numbers
    }

    func weights(_ norm: Norm) throws -> NormWeights {
        let stored = try numbers(ExpectedTensor(name: norm.weight, shape: norm.shape))
        return NormWeights(
            norm: norm, weight: norm.gain(stored),
            bias: try norm.bias.map { try vector($0, size: norm.size) })
    }
}
