// Tiles to bytes and back.

import Compression
import LinearAlgebra
import Packing
import Testing

extension QuantizedTile {
    /// A tile of codes, scales and zeros that differ from place to place; every third scale is negative.
    static func sample(_ rows: Int, _ columns: Int, _ options: QuantizationOptions, groupOfColumn: [Int32]? = nil, losses: Bool = true) -> QuantizedTile {
        let groups = options.groupCount(columns: columns)
        let codes = (0..<rows * columns).map { UInt8(($0 * 5 + $0 / columns) % (1 << options.bits)) }
        let zeros = (0..<rows * groups).map { options.symmetric ? UInt8(1 << (options.bits - 1)) : UInt8($0 % (1 << options.bits)) }
        return QuantizedTile(
            codes: Matrix(codes, rows, columns),
            scales: Matrix((0..<rows * groups).map { Float($0 + 1) * ($0 % 3 == 1 ? -0.125 : 0.125) }, rows, groups),
            zeros: Matrix(zeros, rows, groups), group: options.group, groupOfColumn: groupOfColumn,
            loss: losses ? (0..<rows).map { Double($0) + 0.5 } : [], energy: losses ? (0..<rows).map { Double($0) * 3 } : [])
    }
}

@Suite struct EncodedTileTests {
    @Test(arguments: [2, 3, 4, 8], [true, false])
    func tilesComeBack(bits: Int, symmetric: Bool) {
        for (rows, columns) in [(1, 16), (3, 33), (32, 64), (5, 130)] {
            for group in [-1, 16, 64] {
                let options = QuantizationOptions(bits: bits, group: group, symmetric: symmetric)
                let tile = QuantizedTile.sample(rows, columns, options)
                let encoded = EncodedTile(tile, options: options)
                // What travels is the layout and the bytes.
                let found = EncodedTile(layout: TileLayout(rows: rows, columns: columns, options: options), bytes: encoded.bytes.copy()).decoded()
                #expect(found.codes.elements() == tile.codes.elements())
                #expect(found.scales.elements() == tile.scales.elements())
                #expect(found.zeros.elements() == tile.zeros.elements())
                #expect(found.groupOfColumn == nil)
                #expect(encoded.loss == tile.loss.reduce(0, +) && encoded.sampled == (tile.loss.reduce(0, +), tile.energy.reduce(0, +)))
                expectSameWeights(encoded, tile)
            }
        }
    }

    @Test func whatWasNotMeasuredIsNotANumber() {
        let options = QuantizationOptions(group: 16)
        let encoded = EncodedTile(.sample(2, 16, options, losses: false), options: options)
        #expect(encoded.loss.isNaN && encoded.sampled == (0, 0))
    }

    /// The relative error is that of the rows whose energy is known.
    @Test func someRowsAreSampled() {
        let options = QuantizationOptions(group: 16)
        let whole = QuantizedTile.sample(5, 16, options)
        let tile = QuantizedTile(
            codes: whole.codes, scales: whole.scales, zeros: whole.zeros, group: 16, groupOfColumn: nil, loss: whole.loss, energy: [7, 8], clampedScales: 3)
        let encoded = EncodedTile(tile, options: options)
        #expect(encoded.sampled == (0.5 + 1.5, 15) && encoded.loss == 12.5)
        #expect(encoded.clampedScales == 3 && encoded.decoded().clampedScales == 3)
    }

    @Test func groupsOfPermutedColumnsComeBack() {
        let options = QuantizationOptions(group: 16, actOrder: true, staticGroups: false)
        let groups = (0..<40).map { Int32(($0 * 7) % 3) }
        let tile = QuantizedTile.sample(3, 40, options, groupOfColumn: groups)
        let encoded = EncodedTile(tile, options: options)
        #expect(encoded.decoded().groupOfColumn == groups)
        expectSameWeights(encoded, tile)
    }

    /// Bytes of a file decide which scale a column takes; they must not reach beyond the scales.
    @Test(arguments: [Int32(-1), 3, .max])
    func groupsThatATileLacksAreFound(group: Int32) {
        let options = QuantizationOptions(group: 16, actOrder: true, staticGroups: false)
        let encoded = EncodedTile(.sample(3, 40, options), options: options)
        #expect(encoded.hasValidGroups)
        let place = encoded.layout.groupOfColumn.upperBound - 4
        withUnsafeBytes(of: group) { bytes in for (index, byte) in bytes.enumerated() { encoded.bytes.base[place + index] = byte } }
        #expect(!encoded.hasValidGroups)
    }

    /// Rounding to nearest has groups of neighbouring columns, whatever the options say of the columns' order.
    @Test func groupsOfNeighboursComeBackUnderActOrder() {
        let options = QuantizationOptions(group: 16, actOrder: true, staticGroups: false)
        let tile = QuantizedTile.sample(3, 40, options)
        expectSameWeights(EncodedTile(tile, options: options), tile)
    }

    @Test func partsBeginAtMultiplesOf8() {
        let layout = TileLayout(rows: 3, columns: 33, options: QuantizationOptions(bits: 3, group: 16, symmetric: false, actOrder: true))
        let parts = [layout.codes, layout.scales, layout.zeros, layout.groupOfColumn, layout.losses, layout.clampedScales]
        #expect(parts.map(\.count) == [3 * 4 * 4, 3 * 3 * 4, 9, 33 * 4, 24, 8])
        #expect(parts.allSatisfy { $0.lowerBound % 8 == 0 } && zip(parts, parts.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        #expect(layout.byteCount == layout.clampedScales.upperBound)
    }

    private func expectSameWeights(_ encoded: EncodedTile, _ tile: QuantizedTile, at location: SourceLocation = #_sourceLocation) {
        let found = Matrix<Float>(repeating: .nan, tile.codes.rows, tile.codes.columns), expected = found.copy()
        encoded.dequantize(into: found)
        tile.dequantize(into: expected)
        #expect(found.elements() == expected.elements(), sourceLocation: location)
    }

    /// Values in the type of the checkpoint, with the thresholds and the number of zeros.
    @Test(arguments: ScaleType.allCases)
    func valuesComeBack(type: ScaleType) {
        let pruning = PruningOptions(sparsity: .share(0.5), scope: .blocks(of: 32))
        let layout = TileLayout(rows: 3, columns: 70, content: .values(type), pruning: pruning)
        #expect(layout.holdsValues && layout.groups == 0 && layout.values.count == 210 * (type == .f32 ? 4 : 2) && layout.thresholds.count == 12)
        let values = (0..<210).map { $0 % 2 == 0 ? 0 : Float($0 - 100) * 0.25 }
        let solved = SolvedTile.values(ValueTile(values: Matrix(values, 3, 70), loss: [1, 2, 3], energy: [4]))
        let encoded = EncodedTile(layout: layout, bytes: EncodedTile(solved, layout: layout, thresholds: [0.5, 1, 2]).bytes.copy())
        let weights = Matrix<Float>(repeating: .nan, 3, 70)
        encoded.dequantize(into: weights)
        #expect(weights.elements() == values)
        #expect(encoded.thresholds == [0.5, 1, 2] && encoded.zeroCount == 105 && encoded.loss == 6 && encoded.sampled == (1, 4))
        #expect(encoded.scales().count == 0 && encoded.zeros().isEmpty && encoded.hasValidGroups)
        // What a file says may be anything.
        encoded.bytes.columns(layout.zeroCount).base.update(repeating: 0x7f, count: 8)
        #expect(encoded.zeroCount == 210)
    }

    /// Codes of a pruned tile lie where those of others do; what else there is comes after.
    @Test func prunedCodesComeBack() {
        let options = QuantizationOptions(bits: 4, group: 16, symmetric: false)
        let tile = QuantizedTile.sample(2, 64, options)
        let plain = EncodedTile(tile, options: options)
        let layout = TileLayout(rows: 2, columns: 64, content: .codes(options), pruning: PruningOptions(sparsity: .pattern(pruned: 2, of: 4), scope: .rows))
        let encoded = EncodedTile(.codes(tile), layout: layout)
        #expect(Array(encoded.bytes.elements().prefix(plain.bytes.count)) == plain.bytes.elements())
        #expect(encoded.decoded().codes.elements() == tile.codes.elements() && encoded.thresholds.isEmpty)
        let zeros = (0..<2).reduce(0) { sum, row in sum + (0..<64).count { tile.codes[row, $0] == tile.zeros[row, $0 / 16] } }
        #expect(zeros > 0 && encoded.zeroCount == zeros && plain.zeroCount == nil)
    }
}
