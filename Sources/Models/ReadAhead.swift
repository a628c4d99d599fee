// The weights of a stage on their way into the node's cache of files while its Hessian is summed.

internal import Recipes
internal import Safetensors
package import Sharding
package import Transformers

extension Model {
    /// Asks the system for rows that this rank reads soon: its own tiles, and what it takes as it stands for its pieces of the forward pass.
    ///
    /// - Parameters:
    ///   - tiles: those that this rank solves.
    ///   - pieces: those that it runs forward with the weights of the checkpoint.
    ///   - isDense: whether the forward pass takes the checkpoint's weights of compressed linears too.
    package func readAhead(_ stage: StagePlan, tiles: [Int], pieces: [Piece], isDense: Bool) {
        for tile in tiles { readAhead(stage.linears[stage.tiles[tile].linear].linear, stage.tiles[tile].rows) }
        // Where one rank reads for all, others have no use for them.
        guard reading != .broadcast else { return }
        for part in pieces.flatMap(\.parts) where isDense || stage.linears[part.linear].treatment == nil {
            readAhead(stage.linears[part.linear].linear, part.rows)
        }
    }

    private func readAhead(_ linear: Linear, _ rows: Range<Int>) {
        guard let numbers = tensors[linear.weight]?.parts.first, let byteCount = checkpoint.description(numbers)?.byteCount, !rows.isEmpty else { return }
        let matrices = linear.slice?.matrices ?? 1, matrix = (linear.slice?.matrix ?? 0) * (byteCount / matrices)
        // Codes of some formats are not in the order of rows; transposed weights are read row by row.
        guard linear.layout == .rowsByColumns, tensors[linear.weight]?.isInOrderOfRows == true else {
            return checkpoint.readAhead(numbers, bytes: matrix..<matrix + byteCount / matrices)
        }
        let bytesOfRow = byteCount / matrices / (linear.slice?.outputs ?? linear.rows)
        func output(_ row: Int) -> Int { linear.slice?.output(ofRow: row) ?? row }
        let (first, last) = (output(rows.lowerBound), output(rows.upperBound - 1))
        checkpoint.readAhead(numbers, bytes: matrix + first * bytesOfRow..<matrix + (last + 1) * bytesOfRow)
    }
}
