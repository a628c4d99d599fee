// Rows of a tensor as a GGUF file has them, read as transformers has them.

internal import Compression
internal import LinearAlgebra
internal import Packing
internal import Safetensors

/// How a GGUF file stores a tensor.
struct StoredRows: Sendable {
    /// nil: plain numbers.
    let blocks: NumberType?
    /// nil: rows are in transformers' order.
    let pairing: RowPairing?
    /// What the file's numbers are above transformers'.
    var addend: Float = 0

    /// Reads some rows, of some columns.
    ///
    /// - Parameters:
    ///   - width: all columns of the tensor.
    ///   - stored: bytes of whole rows of the file into plain numbers, where they are no blocks.
    ///   - destination: [rows.count, columns.count]
    func read(
        _ tensor: String, rows: Range<Int>, columns: Range<Int>, of width: Int, from checkpoint: Checkpoint, into destination: Matrix<Float>,
        plain: (Range<Int>, Matrix<Float>) throws -> Void
    ) throws {
        // A row lies no farther away than within its head.
        let unit = pairing?.headRows ?? 1, all = rows.lowerBound / unit * unit..<(rows.upperBound + unit - 1) / unit * unit
        let found = Matrix<Float>(uninitialized: all.count, width)
        if let blocks {
            let layout = TileLayout(rows: all.count, columns: width, options: QuantizationOptions(blocks)), rowBytes = layout.blockBytesPerRow
            let bytes = Matrix<UInt8>(repeating: 0, 1, layout.byteCount)
            try bytes.columns(0..<all.count * rowBytes).withBytes {
                try checkpoint.read(tensor, bytes: all.lowerBound * rowBytes..<all.upperBound * rowBytes, into: $0)
            }
            EncodedTile(layout: layout, bytes: bytes).dequantize(into: found)
        } else {
            try plain(all, found)
        }
        let places = pairing?.places(rows) ?? Array(rows)
        for (row, place) in places.enumerated() {
            destination.row(row).update(from: found.row(place - all.lowerBound) + columns.lowerBound, count: columns.count)
        }
    }
}
