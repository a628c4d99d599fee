// What makes keys and values of the latent vector (DeepSeek-V2 and V3): one tensor in transformers, two in GGUF, where the keys' rows are columns.

internal import Compression
package import GGUF
internal import LinearAlgebra
internal import Packing
internal import Safetensors
package import Transformers

/// Where the rows of one half lie in transformers' tensor: of each head first those of its key, then those of its value.
///
/// Source: llama.cpp, `conversion/deepseek.py`, `modify_tensors`.
package struct LatentHalfRows: Sendable {
    /// What the checkpoint calls transformers' tensor: [heads * (key + value), columns].
    package let tensor: String
    package let half: GGUFNames.LatentHalf
    package let heads: LatentShape
    /// Elements of the latent vector.
    package let columns: Int

    package init(tensor: String, half: GGUFNames.LatentHalf, heads: LatentShape, columns: Int) {
        (self.tensor, self.half, self.heads, self.columns) = (tensor, half, heads, columns)
    }

    /// What a half is called beside transformers' tensors.
    static func name(_ half: GGUFNames.LatentHalf, of tensor: String) -> String { tensor + (half == .keys ? " (keys)" : " (values)") }

    /// Of the half in GGUF.
    package var shape: [Int] { half == .keys ? [heads.heads, columns, heads.plainSize] : [heads.heads, heads.valueSize, columns] }

    /// Of transformers' tensor.
    package func rows(ofHead head: Int) -> Range<Int> {
        let start = head * (heads.plainSize + heads.valueSize), middle = start + heads.plainSize
        return half == .keys ? start..<middle : middle..<middle + heads.valueSize
    }
}

/// The two tensors of a GGUF file as transformers' one.
struct StoredLatentHalves: Sendable {
    private let keys: LatentHalfRows
    private let values: LatentHalfRows
    private let keyBlocks: NumberType?
    private let valueBlocks: NumberType?

    /// - Parameter tensor: transformers' name.
    init(_ index: CheckpointIndex, _ tensor: String, _ heads: LatentShape, columns: Int) {
        keys = LatentHalfRows(tensor: tensor, half: .keys, heads: heads, columns: columns)
        values = LatentHalfRows(tensor: tensor, half: .values, heads: heads, columns: columns)
        keyBlocks = index.blocks(LatentHalfRows.name(.keys, of: tensor))
        valueBlocks = index.blocks(LatentHalfRows.name(.values, of: tensor))
    }

    /// By the index's names.
    var tensors: [String] { [keys, values].map { LatentHalfRows.name($0.half, of: $0.tensor) } }
    /// Of transformers' tensor.
    var shape: [Int] { [keys.heads.heads * headRows, keys.columns] }
    /// Of either; nil: both are plain numbers.
    var blocks: NumberType? { keyBlocks ?? valueBlocks }

    private var headRows: Int { keys.heads.plainSize + keys.heads.valueSize }

    /// Whether the index has both with their shapes.
    func isThere(_ index: CheckpointIndex) -> Bool {
        zip([keys, values], [keyBlocks, valueBlocks]).allSatisfy { half, blocks in
            guard let stored = index.tensors[LatentHalfRows.name(half.half, of: half.tensor)]?.description.shape, stored.count == 3 else { return false }
            let columns = blocks?.blocks.map { stored[2] / $0.byteCount * $0.columns } ?? stored[2]
            return stored.dropLast() + [columns] == half.shape
        }
    }

    /// Reads some rows, of some columns.
    ///
    /// - Parameters:
    ///   - destination: [rows.count, columns.count]
    ///   - plain: whole rows of a half whose numbers are plain, as the file has them.
    func read(
        rows: Range<Int>, columns: Range<Int>, from checkpoint: Checkpoint, into destination: Matrix<Float>,
        plain: (String, Range<Int>, Matrix<Float>) throws -> Void
    ) throws {
        for head in rows.lowerBound / headRows...max(rows.lowerBound, rows.upperBound - 1) / headRows {
            let start = head * headRows, middle = start + keys.heads.plainSize
            let ofKey = rows.clamped(to: start..<middle), ofValue = rows.clamped(to: middle..<start + headRows)
            if !ofKey.isEmpty {
                let stored = try read(keys, keyBlocks, head * keys.columns..<(head + 1) * keys.columns, checkpoint, plain)
                for row in ofKey {
                    let target = destination.row(row - rows.lowerBound)
                    for (place, column) in columns.enumerated() { target[place] = stored[column, row - start] }
                }
            }
            if !ofValue.isEmpty {
                let first = head * keys.heads.valueSize - middle
                let stored = try read(values, valueBlocks, first + ofValue.lowerBound..<first + ofValue.upperBound, checkpoint, plain)
                for (place, row) in ofValue.enumerated() {
                    destination.row(row - rows.lowerBound).update(from: stored.row(place) + columns.lowerBound, count: columns.count)
                }
            }
        }
    }

    /// Rows of a half as the file has them.
    private func read(
        _ half: LatentHalfRows, _ blocks: NumberType?, _ rows: Range<Int>, _ checkpoint: Checkpoint,
        _ plain: (String, Range<Int>, Matrix<Float>) throws -> Void
    ) throws -> Matrix<Float> {
        let width = half.shape[2], name = LatentHalfRows.name(half.half, of: half.tensor), result = Matrix<Float>(uninitialized: rows.count, width)
        try StoredRows(blocks: blocks, pairing: nil).read(name, rows: rows, columns: 0..<width, of: width, from: checkpoint, into: result) {
            try plain(name, $0, $1)
        }
        return result
    }
}
