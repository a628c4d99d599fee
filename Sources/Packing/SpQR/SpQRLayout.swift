// The 64-bit words in which SpQR's kernel takes a row of a tile of 16 x 16 weights.

internal import Compression
internal import LinearAlgebra

/// One word for each row of a tile: code of the scale, code of the zero point, 16 codes of weights, each of 3 bits, then a byte of what the tile's rows share.
///
/// Those are 4 numbers of half precision, lowest first: the scales' step, the zero points' step, the scales' zero point, the zero points' zero point. Their byte b
/// lies in the rows 2 b and 2 b + 1. Words go by rows of tiles, then tiles, then the tile's rows.
///
/// Source: spqr_quant, `inference.py` (`QuantizedLinear`) and `spqr_cuda.cpp` (`tensor_compress_interleaved`).
enum SpQRLayout {
    /// Rows and columns of a tile.
    static let side = 16
    static let bits = 3
    /// Columns up to which clients count, in 16 bits with a sign.
    static let mostColumns = 32768
    private static let shiftOfShared = UInt64(bits * (side + 2))

    /// The words of whole rows of tiles: [rows / 16 * columns]
    ///
    /// - Parameters:
    ///   - codes: [rows, columns], in the order of the file.
    static func pack(_ codes: Matrix<UInt8>, _ spqr: SpQRScales) -> [UInt64] {
        var words: [UInt64] = []
        words.reserveCapacity(codes.count / side)
        for block in 0..<codes.rows / side {
            for group in 0..<codes.columns / side {
                let shared = [spqr.scaleSteps, spqr.zeroSteps, spqr.scaleZeros, spqr.zeroZeros].enumerated().reduce(UInt64(0)) {
                    $0 | UInt64(half($1.element[block, group])) << UInt64(16 * $1.offset)
                }
                for row in 0..<side {
                    let source = block * side + row, own = codes.row(source) + group * side
                    var word = UInt64(spqr.scaleCodes[source, group]) | UInt64(spqr.zeroCodes[source, group]) << UInt64(bits)
                    for column in 0..<side { word |= UInt64(own[column]) << UInt64(bits * (column + 2)) }
                    words.append((word | ((shared >> UInt64(8 * (row / 2))) & 0xff) << shiftOfShared).littleEndian)
                }
            }
        }
        return words
    }

    /// The inverse of `pack`, without outliers.
    ///
    /// - Parameters:
    ///   - word: by its place.
    ///   - outliers: [rows, columns], what the result has for them.
    static func unpack(_ rows: Int, _ columns: Int, outliers: Matrix<UInt16>, _ word: (Int) -> UInt64) -> (codes: Matrix<UInt8>, spqr: SpQRScales) {
        let groups = columns / side, blocks = rows / side, mask = UInt64(1 << bits - 1)
        let codes = Matrix<UInt8>(uninitialized: rows, columns)
        let (scaleCodes, zeroCodes) = (Matrix<UInt8>(uninitialized: rows, groups), Matrix<UInt8>(uninitialized: rows, groups))
        let shared = (0..<4).map { _ in Matrix<Float>(uninitialized: blocks, groups) }
        for block in 0..<blocks {
            for group in 0..<groups {
                var bytes: UInt64 = 0
                for row in 0..<side {
                    let target = block * side + row, word = word((block * groups + group) * side + row)
                    scaleCodes[target, group] = UInt8(word & mask)
                    zeroCodes[target, group] = UInt8(word >> UInt64(bits) & mask)
                    for column in 0..<side { codes[target, group * side + column] = UInt8(word >> UInt64(bits * (column + 2)) & mask) }
                    bytes |= (word >> shiftOfShared) << UInt64(8 * (row / 2))
                }
                for (index, numbers) in shared.enumerated() { numbers[block, group] = number(UInt16(truncatingIfNeeded: bytes >> UInt64(16 * index))) }
            }
        }
        return (
            codes,
            SpQRScales(
                scaleCodes: scaleCodes, zeroCodes: zeroCodes, scaleSteps: shared[0], scaleZeros: shared[2], zeroSteps: shared[1], zeroZeros: shared[3],
                outliers: outliers)
        )
    }

    private static func half(_ number: Float) -> UInt16 {
        var (number, half) = (number, UInt16(0))
        Numbers.narrow(&number, intoFloat16: &half, count: 1)
        return half
    }

    private static func number(_ half: UInt16) -> Float {
        var (number, half) = (Float(0), half)
        Numbers.widen(float16: &half, into: &number, count: 1)
        return number
    }
}
