// What the linears multiply: activations and weights, in fp32 or bf16.

public import LinearAlgebra

/// The operand type of the linears' products; they accumulate in fp32 either way.
public enum Compute: String, Sendable, Codable, CaseIterable {
    case bf16
    case f32

    /// Of an operand's element.
    public var byteCount: Int { self == .bf16 ? MemoryLayout<BFloat16>.stride : MemoryLayout<Float>.stride }
}

/// A matrix in the compute type: activations [tokens, columns] or a weight [rows, columns].
public enum Operand: Sendable {
    case f32(Matrix<Float>)
    case bf16(Matrix<BFloat16>)

    public init(uninitialized compute: Compute, _ rows: Int, _ columns: Int) {
        switch compute {
        case .f32: self = .f32(Matrix(uninitialized: rows, columns))
        case .bf16: self = .bf16(Matrix(uninitialized: rows, columns))
        }
    }

    /// An fp32 matrix in the compute type: itself, or rounded to bf16.
    public init(_ matrix: Matrix<Float>, compute: Compute) {
        switch compute {
        case .f32:
            self = .f32(matrix)
        case .bf16:
            let rounded = Matrix<BFloat16>(uninitialized: matrix.rows, matrix.columns)
            convert(matrix, into: rounded)
            self = .bf16(rounded)
        }
    }

    public var rows: Int {
        switch self {
        case .f32(let matrix): matrix.rows
        case .bf16(let matrix): matrix.rows
        }
    }

    public var columns: Int {
        switch self {
        case .f32(let matrix): matrix.columns
        case .bf16(let matrix): matrix.columns
        }
    }

    /// A window on some rows.
    public func rows(_ range: Range<Int>) -> Operand {
        switch self {
        case .f32(let matrix): .f32(matrix.rows(range))
        case .bf16(let matrix): .bf16(matrix.rows(range))
        }
    }

    /// A window on some columns.
    public func columns(_ range: Range<Int>) -> Operand {
        switch self {
        case .f32(let matrix): .f32(matrix.columns(range))
        case .bf16(let matrix): .bf16(matrix.columns(range))
        }
    }

    /// Copies values of the same shape and type in.
    public func assign(_ values: Operand) {
        switch (self, values) {
        case (.f32(let matrix), .f32(let values)): matrix.assign(values)
        case (.bf16(let matrix), .bf16(let values)): matrix.assign(values)
        default: preconditionFailure("a copy between operands of different types")
        }
    }

    /// This less another operand of the same shape and type: subtracted in fp32, rounded to the type that is asked for.
    public func difference(_ other: Operand, compute: Compute) -> Operand {
        let result = Operand(uninitialized: compute, rows, columns)
        parallelFor(rows, inUnitsOf: Self.rowsAtOnce) { range in
            let (minuend, subtrahend) = (rows(range).widened().copy(), other.rows(range).widened())
            for row in 0..<minuend.rows {
                let (values, others) = (minuend.row(row), subtrahend.row(row))
                for column in 0..<minuend.columns { values[column] -= others[column] }
            }
            result.rows(range).store(minuend)
        }
        return result
    }

    private static let rowsAtOnce = 64

    public var compute: Compute {
        switch self {
        case .f32: .f32
        case .bf16: .bf16
        }
    }

    /// The largest |x|; infinity when any value is infinite or NaN.
    package var maxMagnitude: Float {
        switch self {
        case .f32(let x): LinearAlgebra.maxMagnitude(x)
        case .bf16(let x): LinearAlgebra.maxMagnitude(x)
        }
    }

    /// Copies fp32 values of the same shape in, rounding them to bf16 where that is the type.
    public func store(_ values: Matrix<Float>) {
        switch self {
        case .f32(let matrix): matrix.assign(values)
        case .bf16(let matrix): convert(values, into: matrix)
        }
    }
}

/// a op(b) in fp32, where op transposes when asked.
func product(_ a: Operand, _ b: Operand, transposeB: Bool = false) -> Matrix<Float> {
    let result = Matrix<Float>(uninitialized: a.rows, transposeB ? b.rows : b.columns)
    switch (a, b) {
    case (.f32(let a), .f32(let b)): multiply(a, b, transposeB: transposeB, into: result)
    case (.bf16(let a), .bf16(let b)): multiply(a, b, transposeB: transposeB, into: result)
    default: preconditionFailure("a product of operands of different types")
    }
    return result
}
