// An encoded tile as weights, and as codes and grids.

public import Compression
public import LinearAlgebra

extension EncodedTile {
    /// The tile's weights: scale * (code - zero), scale * the code's number, or the values.
    /// - Parameter weights: [rows, columns]
    public func dequantize(into weights: Matrix<Float>) {
        guard let type = layout.valueType else { return decoded().dequantize(into: weights) }
        precondition(weights.rows == layout.rows && weights.columns == layout.columns, "\(layout.rows) x \(layout.columns) into another shape")
        withExtendedLifetime(bytes) {
            for row in 0..<layout.rows {
                let start = row * layout.columns
                switch type {
                case .f32: weights.row(row).update(from: pointer(layout.values, Float.self) + start, count: layout.columns)
                case .f16: Numbers.widen(float16: pointer(layout.values, UInt16.self) + start, into: weights.row(row), count: layout.columns)
                case .bf16: Numbers.widen(bfloat16: pointer(layout.values, UInt16.self) + start, into: weights.row(row), count: layout.columns)
                }
            }
        }
    }

    /// A tile of codes as the solver left it, but for the losses of its rows.
    public func decoded() -> QuantizedTile {
        let codes = Matrix<UInt8>(uninitialized: layout.rows, layout.columns)
        if let rules = layout.blocks {
            let blocks = withCodeBytes { BlockCoding.decode($0, layout.options.number, rules, into: codes) }
            return QuantizedTile(
                codes: codes, scales: blocks.gridScales(rules), zeros: Matrix(uninitialized: layout.rows, 0), group: layout.options.group, groupOfColumn: nil,
                loss: [], energy: [], clampedScales: clampedScales ?? 0, number: layout.options.number, blocks: blocks)
        }
        let groups = withExtendedLifetime(bytes) {
            let words = pointer(layout.codes, UInt32.self)
            for row in 0..<layout.rows {
                BitStream.unpack(words + row * layout.wordsPerRow, count: layout.columns, bits: layout.options.bits, into: codes.row(row))
            }
            return Array(UnsafeBufferPointer(start: pointer(layout.groupOfColumn, Int32.self), count: layout.groupOfColumn.count / 4))
        }
        if layout.isSpQR {
            let spqr = spqrScales()
            return QuantizedTile(
                codes: codes, scales: spqr.scales(), zeros: Matrix(uninitialized: layout.rows, 0), group: layout.options.group,
                groupOfColumn: groups.isEmpty ? nil : groups, loss: [], energy: [], clampedScales: clampedScales ?? 0, number: .spqr, spqr: spqr)
        }
        let zeroPoints: Matrix<UInt8> = layout.isTernary ? Matrix(uninitialized: layout.rows, 0) : Matrix(zeros(), layout.rows, layout.groups)
        return QuantizedTile(
            codes: codes, scales: scales(), zeros: zeroPoints, group: layout.options.group,
            groupOfColumn: groups.isEmpty ? nil : groups, loss: [], energy: [], clampedScales: clampedScales ?? 0,
            number: layout.options.number, divisor: layout.options.hasDivisor ? divisor : nil)
    }
}
