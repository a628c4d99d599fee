// Loading a linear's weights from a checkpoint.

public import LinearAlgebra

extension Forward {
    /// Rows that are read at once where the weight is narrowed to bf16.
    private static let rowsAtOnce = 1024

    /// The weight of a linear in fp32, [rows, columns] whichever way it is stored.
    public func weight(of linear: Linear) throws -> Matrix<Float> {
        guard linear.slice == nil else {
            let weight = Matrix<Float>(uninitialized: linear.rows, linear.columns)
            try source.rows(of: linear, 0..<linear.rows, into: weight)
            return weight
        }
        let stored = try source.matrix(linear.weight)
        try ForwardError.check(linear.weight, stored, expected: linear.storedShape)
        return linear.layout == .rowsByColumns ? stored : stored.transposed()
    }

    /// The bias of a linear, [rows], if it has one.
    public func bias(of linear: Linear) throws -> [Float]? {
        guard let bias = linear.bias else { return nil }
        guard linear.slice != nil else { return try vectors.vector(bias, size: linear.rows) }
        let values = Matrix<Float>(uninitialized: 1, linear.rows)
        try source.bias(of: linear, into: values)
        return values.elements()
    }

    /// The weights of a linear as the products take them, by way of the whole in fp32.
    public func loadWeights(_ linear: Linear) throws -> LinearWeights {
        LinearWeights(weight: Operand(try weight(of: linear), compute: compute), bias: try bias(of: linear))
    }

    /// Reads some rows of a linear's weight.
    ///
    /// - Parameter targets: ranges of rows, and where each goes: [rows, columns].
    public func loadRows(_ linear: Linear, _ targets: [(rows: Range<Int>, weight: Operand)]) throws {
        for (rows, weight) in targets {
            if case .f32(let weight) = weight {
                try source.rows(of: linear, rows, into: weight)
                continue
            }
            // A few rows at a time, so that no fp32 copy of the whole exists.
            let piece = Matrix<Float>(uninitialized: min(Self.rowsAtOnce, rows.count), linear.columns)
            for start in stride(from: rows.lowerBound, to: rows.upperBound, by: Self.rowsAtOnce) {
                let some = start..<min(start + Self.rowsAtOnce, rows.upperBound)
                try source.rows(of: linear, some, into: piece.rows(0..<some.count))
                weight.rows(some.lowerBound - rows.lowerBound..<some.upperBound - rows.lowerBound).store(piece.rows(0..<some.count))
            }
        }
    }
}
