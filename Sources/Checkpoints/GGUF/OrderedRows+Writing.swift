// Rows of the source as a GGUF file has them: in its order, in its types.

internal import Compression
internal import LinearAlgebra
internal import Models
internal import Packing
internal import Safetensors

extension OrderedRows {
    /// Rows that are rounded by one thread at once.
    private static let rowsOfThread = 64
    /// Numbers that are held at once: they lie twice beside each other where rows move, and rounding takes as much again.
    private static let numbersAtOnce = CheckpointContent.numbersAtOnce / 4

    /// Writes all rows, some at a time.
    func write(as type: ElementType, from source: CheckpointParameters, to sink: TensorSink) throws {
        // A row moves no farther than within its head, so whole heads are taken at once.
        let unit = pairing?.headRows ?? 1, most = max(Self.numbersAtOnce / max(columns, 1) / unit, 1) * unit
        for start in stride(from: 0, to: rows, by: most) {
            let some = start..<min(start + most, rows), read = Matrix<Float>(uninitialized: some.count, columns)
            if try source.tensors.matrixShape(tensor).rows == rows {
                try source.tensors.read(tensor, rows: some, from: source.checkpoint, into: read)
            } else {
                // A bias, whose elements are rows of one column here.
                let whole = try source.matrix(tensor)
                withExtendedLifetime(whole) { read.base.update(from: whole.base + start, count: some.count) }
            }
            if addend != 0 { for index in 0..<read.count { read.base[index] += addend } }
            let ordered = pairing.map { order(read, $0.sources(some), from: start) } ?? read
            guard let blocks else {
                try writeNumbers(ordered, as: type, to: sink)
                continue
            }
            let options = QuantizationOptions(blocks, grid: blocks == .q8_0 ? .minmax : .mse)
            let parts = Array((0..<some.count).cut(every: Self.rowsOfThread))
            let tiles = try parallelMap(parts.count) { part in
                EncodedTile(try roundToNearest(weights: ordered.rows(parts[part]), options: options), options: options)
            }
            for tile in tiles { try tile.withCodeBytes(sink) }
        }
    }

    private func order(_ matrix: Matrix<Float>, _ sources: [Int], from first: Int) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: matrix.rows, matrix.columns)
        for (row, source) in sources.enumerated() { result.row(row).update(from: matrix.row(source - first), count: matrix.columns) }
        return result
    }
}
