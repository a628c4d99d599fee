// What a tile of SpQR holds beside its codes, as bytes.

internal import Compression
internal import LinearAlgebra

extension EncodedTile {
    /// Writes levels, second levels, outliers, and how many of these each row has.
    func write(_ spqr: SpQRScales) {
        let levels = pointer(layout.levels, UInt8.self), count = layout.rows * layout.groups
        copy(spqr.scaleCodes, to: levels)
        copy(spqr.zeroCodes, to: levels + count)
        let halves = pointer(layout.secondLevels, UInt16.self)
        for (index, numbers) in [spqr.scaleSteps, spqr.scaleZeros, spqr.zeroSteps, spqr.zeroZeros].enumerated() {
            for block in 0..<numbers.rows {
                Numbers.narrow(
                    numbers.row(block), intoFloat16: halves + (index * numbers.rows + block) * numbers.columns, count: numbers.columns)
            }
        }
        copy(spqr.outliers, to: pointer(layout.outliers, UInt16.self))
        let counts = pointer(layout.entryCounts, UInt32.self)
        for row in 0..<layout.rows { counts[row] = Self.outlierCount(spqr.outliers, row) }
    }

    /// Those that are not 0, of either sign.
    private static func outlierCount(_ outliers: Matrix<UInt16>, _ row: Int) -> UInt32 {
        UInt32(UnsafeBufferPointer(start: outliers.row(row), count: outliers.columns).count { $0 & 0x7fff != 0 })
    }

    /// The inverse of `write`.
    func spqrScales() -> SpQRScales {
        withExtendedLifetime(bytes) {
            let levels = pointer(layout.levels, UInt8.self), halves = pointer(layout.secondLevels, UInt16.self)
            let (rows, groups, blocks) = (layout.rows, layout.groups, SpQRScales.blocks(rows: layout.rows))
            func codes(_ index: Int) -> Matrix<UInt8> {
                let result = Matrix<UInt8>(uninitialized: rows, groups)
                result.base.update(from: levels + index * rows * groups, count: rows * groups)
                return result
            }
            func numbers(_ index: Int) -> Matrix<Float> {
                let result = Matrix<Float>(uninitialized: blocks, groups)
                Numbers.widen(float16: halves + index * blocks * groups, into: result.base, count: blocks * groups)
                return result
            }
            let outliers = Matrix<UInt16>(uninitialized: rows, layout.columns)
            outliers.base.update(from: pointer(layout.outliers, UInt16.self), count: outliers.count)
            return SpQRScales(
                scaleCodes: codes(0), zeroCodes: codes(1), scaleSteps: numbers(0), scaleZeros: numbers(1), zeroSteps: numbers(2), zeroZeros: numbers(3),
                outliers: outliers)
        }
    }

    /// Whether levels have their bits, and rows as many outliers as they say.
    var hasValidSpQR: Bool {
        let spqr = spqrScales(), most = UInt8(1 << SpQRScales.bitsOfLevel)
        let areLevels = [spqr.scaleCodes, spqr.zeroCodes].allSatisfy { codes in
            withExtendedLifetime(codes) { UnsafeBufferPointer(start: codes.base, count: codes.count).allSatisfy { $0 < most } }
        }
        return areLevels && (entryCounts ?? []).enumerated().allSatisfy { $1 == Self.outlierCount(spqr.outliers, $0) }
    }
}
