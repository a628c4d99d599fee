// Loading a linear's weights from a checkpoint.

public import LinearAlgebra

extension Forward {
    /// Rows that are read at once where the weight is narrowed to bf16.
    private static let rowsAtOnce = 1024

    /// The weight of a linear in fp32, [rows, columns] whichever way it is stored.
    public func weight(of linear: Linear) throws -> Matrix<Float> {
        let stored = try source.matrix(linear.weight)
        try ForwardError.check(linear.weight, stored, expected: linear.storedShape)
        return linear.layout == .rowsByColumns ? stored : stored.transposed()
    }

    /// The bias of a linear, [rows], if it has one.
    public func bias(of linear: Linear) throws -> [Float]? {
        try linear.bias.map { try vectors.vector($0, size: linear.rows) }
    }

    /// The weights of a linear as the products take them.
    public func loadWeights(_ linear: Linear) throws -> LinearWeights {
        LinearWeights(weight: try operand(linear), bias: try bias(of: linear))
    }

    private func operand(_ linear: Linear) throws -> Operand {
        guard compute == .bf16, linear.layout == .rowsByColumns else {
            return Operand(try weight(of: linear), compute: compute)
        }
        // By rows, so that no fp32 copy of the whole exists.
        let result = Matrix<BFloat16>(uninitialized: linear.rows, linear.columns)
        let piece = Matrix<Float>(uninitialized: min(Self.rowsAtOnce, linear.rows), linear.columns)
        for start in stride(from: 0, to: linear.rows, by: Self.rowsAtOnce) {
            let rows = start..<min(start + Self.rowsAtOnce, linear.rows)
            try source.rows(linear.weight, rows.map { Int32($0) }, into: piece.rows(0..<rows.count))
            convert(piece.rows(0..<rows.count), into: result.rows(rows))
        }
        return .bf16(result)
    }
}
