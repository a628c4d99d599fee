// A linear layer as data: its shape, and where its weights lie in the checkpoint.

/// A linear layer: y = W x + b.
public struct Linear: Sendable, Hashable {
    /// How a weight lies in the checkpoint.
    public enum Layout: Sendable {
        case rowsByColumns
        /// Transposed, as in GPT-2's Conv1D.
        case columnsByRows
    }

    /// What transformers calls the module: "model.layers.0.self_attn.q_proj". The weight's tensor name without ".weight", unless the checkpoint's names differ.
    public let name: String
    /// Outputs.
    public let rows: Int
    /// Inputs.
    public let columns: Int
    /// The weight's tensor where that is not `name` with ".weight": of tens of thousands of experts' linears each name is there once.
    private let otherWeight: String?
    /// The bias's tensor.
    public let bias: String?
    public let layout: Layout
    /// The part of these tensors that is the linear's; nil: they are its own.
    public let slice: TensorSlice?

    init(_ name: String, rows: Int, columns: Int, bias: Bool, layout: Layout = .rowsByColumns) {
        self.init(
            name: name, rows: rows, columns: columns, weight: name + ".weight", bias: bias ? name + ".bias" : nil, layout: layout)
    }

    /// The same linear with its weight under another name.
    func with(weight: String) -> Linear {
        Linear(name: name, rows: rows, columns: columns, weight: weight, bias: bias, layout: layout, slice: slice)
    }

    package init(name: String, rows: Int, columns: Int, weight: String, bias: String?, layout: Layout, slice: TensorSlice? = nil) {
        self.name = name
        self.rows = rows
        self.columns = columns
        otherWeight = weight == name + ".weight" ? nil : weight
        self.bias = bias
        self.layout = layout
        self.slice = slice
    }

    /// The weight's tensor.
    public var weight: String { otherWeight ?? name + ".weight" }

    /// What the checkpoint calls the module: its weight's tensor without ".weight", where that is its own.
    public var fileName: String { slice == nil && weight.hasSuffix(".weight") ? String(weight.dropLast(".weight".count)) : name }

    /// Rows of a weight that is stored transposed that are read at once.
    static let rowsTransposedAtOnce = 256

    /// Numbers in fp32 that lie beside such rows while they are read: those of linears that alternate with it, and both of them transposed, twice where the file has
    /// them in another form.
    public var transposedNumbers: Int {
        layout == .rowsByColumns ? 0 : columns * min(rows, Self.rowsTransposedAtOnce) * (slice?.step ?? 1) * 3
    }

    /// The names to which the linear answers in a recipe: its own, and the checkpoint's where that differs.
    public var names: [String] { fileName == name ? [name] : [name, fileName] }

    /// The shape of the weight's tensor.
    public var storedShape: [Int] {
        let matrix = layout == .rowsByColumns ? [slice?.outputs ?? rows, columns] : [columns, slice?.outputs ?? rows]
        return (slice.map { [$0.matrices] } ?? []) + matrix
    }

    /// The shape of the bias's tensor.
    public var storedBiasShape: [Int] { slice.map { [$0.matrices, $0.outputs] } ?? [rows] }
}
