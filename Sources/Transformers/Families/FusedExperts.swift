// Checkpoints that hold the weights of all experts of a block in two tensors.

/// The two tensors, of gates and ups and of downs. A family says how they lie: shapes alone do not tell.
struct FusedExperts {
    /// Names inside the module that holds the experts.
    var gateUp = "experts.gate_up_proj"
    var down = "experts.down_proj"
    /// Of each expert's matrix: [experts, outputs, inputs], or transposed.
    var layout = Linear.Layout.rowsByColumns
    /// Whether an expert's gate has the even outputs and its up the odd ones; else the gate has the first half.
    var isInterleaved = false
    /// Whether a tensor `..._bias`, [experts, outputs], stands beside each.
    var hasBias = false

    /// A linear of an expert where these tensors hold it.
    ///
    /// - Parameters:
    ///   - linear: as it were with a tensor of its own.
    ///   - place: 0: gate, 1: up, 2: down.
    ///   - module: that which holds the experts.
    func stored(_ linear: Linear, _ place: Int, expert: Int, of experts: Int, in module: String) -> Linear {
        let isDown = place == 2, weight = "\(module).\(isDown ? down : gateUp)"
        let slice = TensorSlice(
            matrices: experts, matrix: expert, outputs: isDown ? linear.rows : 2 * linear.rows,
            first: isDown ? 0 : isInterleaved ? place : place * linear.rows, step: !isDown && isInterleaved ? 2 : 1)
        return Linear(
            name: linear.name, rows: linear.rows, columns: linear.columns, weight: weight, bias: hasBias ? weight + "_bias" : nil, layout: layout, slice: slice)
    }
}
