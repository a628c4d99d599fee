// What a tile of SpQR stores beside its codes: scales and zero points as codes of a second level, and outliers.

public import LinearAlgebra

/// A weight is scale (code - zero) + outlier, in half precision: each difference, product and sum is rounded to it. Scales and zero points are 3-bit codes on grids
/// that 16 rows of a group share: scale = scaleStep (scaleCode - scaleZero), zero = zeroStep (zeroCode - zeroZero).
///
/// Source: spqr_quant, `spqr_cuda.cpp`, `dequantize_compressed`.
public struct SpQRScales: @unchecked Sendable {
    /// Rows of a group that share a second level.
    public static let rowsOfBlock = 16
    /// Bits of scales and zero points.
    public static let bitsOfLevel = 3
    static let mostLevel: Float = 7

    /// How many second levels so many rows have for each group.
    public static func blocks(rows: Int) -> Int { (rows + rowsOfBlock - 1) / rowsOfBlock }

    /// [rows, groups]
    public let scaleCodes: Matrix<UInt8>
    public let zeroCodes: Matrix<UInt8>
    /// [blocks of rows, groups], each exactly a number of half precision.
    public let scaleSteps: Matrix<Float>
    public let scaleZeros: Matrix<Float>
    public let zeroSteps: Matrix<Float>
    public let zeroZeros: Matrix<Float>
    /// What is added, in half precision, 0 where there is none: [rows, columns]
    public let outliers: Matrix<UInt16>

    public init(
        scaleCodes: Matrix<UInt8>, zeroCodes: Matrix<UInt8>, scaleSteps: Matrix<Float>, scaleZeros: Matrix<Float>, zeroSteps: Matrix<Float>,
        zeroZeros: Matrix<Float>, outliers: Matrix<UInt16>
    ) {
        (self.scaleCodes, self.zeroCodes, self.outliers) = (scaleCodes, zeroCodes, outliers)
        (self.scaleSteps, self.scaleZeros, self.zeroSteps, self.zeroZeros) = (scaleSteps, scaleZeros, zeroSteps, zeroZeros)
    }

    /// The scales as clients compute them: [rows, groups]
    public func scales() -> Matrix<Float> { Self.numbers(scaleCodes, scaleSteps, scaleZeros) }

    /// The zero points as clients compute them: [rows, groups]
    public func zeros() -> Matrix<Float> { Self.numbers(zeroCodes, zeroSteps, zeroZeros) }

    private static func numbers(_ codes: Matrix<UInt8>, _ steps: Matrix<Float>, _ zeros: Matrix<Float>) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: codes.rows, codes.columns), halves = Matrix<UInt16>(uninitialized: codes.rows, codes.columns)
        func forEach(_ body: (_ row: Int, _ group: Int, _ block: Int) -> Void) {
            for row in 0..<codes.rows { for group in 0..<codes.columns { body(row, group, row / rowsOfBlock) } }
        }
        forEach { result[$0, $1] = Float(codes[$0, $1]) - zeros[$2, $1] }
        ScaleType.f16.round(result, halves)
        forEach { result[$0, $1] *= steps[$2, $1] }
        ScaleType.f16.round(result, halves)
        return result
    }

    /// The weights of codes [rows, columns], into as many, each exactly a number of half precision.
    ///
    /// - Parameter groups: the group of each column.
    public func dequantize(_ codes: Matrix<UInt8>, groups: [Int], into weights: Matrix<Float>) {
        let (scales, zeros, columns) = (scales(), zeros(), codes.columns)
        let line = Matrix<Float>(uninitialized: 1, columns), halves = Matrix<UInt16>(uninitialized: 1, columns),
            added = Matrix<Float>(uninitialized: 1, columns)
        for row in 0..<codes.rows {
            let (code, scale, zero, target) = (codes.row(row), scales.row(row), zeros.row(row), line.base)
            for column in 0..<columns { target[column] = Float(code[column]) - zero[groups[column]] }
            ScaleType.f16.round(line, halves)
            for column in 0..<columns { target[column] *= scale[groups[column]] }
            ScaleType.f16.round(line, halves)
            Numbers.widen(float16: outliers.row(row), into: added.base, count: columns)
            for column in 0..<columns { target[column] += added.base[column] }
            ScaleType.f16.round(line, halves)
            weights.row(row).update(from: target, count: columns)
        }
    }
}
