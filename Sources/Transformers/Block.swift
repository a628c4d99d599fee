// A block of a transformer as data: its stages, and the linears of each.

/// An ordered list of stages that reads and updates the residual stream.
public struct Block: Sendable, Equatable, Codable {
    public let index: Int
    /// As in tensor names: "model.layers.3".
    public let name: String
    public let stages: [Stage]
}

/// The linears of a block that share one input, what that input is, and what becomes of their outputs.
public struct Stage: Sendable, Equatable, Codable {
    /// "qkv", "attention output", "gate+up", "up" or "down".
    public let name: String
    public let input: StageInput
    /// Never empty; in the order that the effect expects.
    public let linears: [Linear]
    public let effect: StageEffect
    /// The share of all tokens that reach the stage: below 1 for an expert.
    public internal(set) var tokenShare = 1.0

    /// Columns of the stage's input and of every linear in it.
    public var columns: Int { linears.first?.columns ?? 0 }
}

/// What a stage multiplies its weights with.
public enum StageInput: Sendable, Equatable, Codable {
    /// The residual stream, normalised.
    case norm(Norm)
    /// What the effect of the previous stage left.
    case carried
}

/// What becomes of the outputs of a stage's linears.
public enum StageEffect: Sendable, Equatable, Codable {
    /// The outputs are queries, keys and values; the heads' contexts are carried on.
    case attention(Attention)
    /// The outputs are gate and up; activation(gate) * up is carried on.
    case gatedActivation(ActivationFunction)
    /// The activated output is carried on.
    case activation(ActivationFunction)
    /// The output is added to the residual stream at once.
    case addToResidual
    /// The output is added to the residual stream when the block ends, so that later stages still read the block's input.
    case addToPending
    /// Known by its costs alone, in families that can be planned and not yet run: multiplications and additions for each pair of a token and a token
    /// that it sees.
    case planned(operationsPerPair: Double)
}

/// A linear layer: y = W x + b.
public struct Linear: Sendable, Equatable, Codable {
    /// How a weight lies in the checkpoint.
    public enum Layout: String, Sendable, Codable {
        case rowsByColumns
        /// Transposed, as in GPT-2's Conv1D.
        case columnsByRows
    }

    /// The weight's tensor name without ".weight": "model.layers.0.self_attn.q_proj".
    public let name: String
    /// Outputs.
    public let rows: Int
    /// Inputs.
    public let columns: Int
    /// Tensor names.
    public let weight: String
    public let bias: String?
    public let layout: Layout

    init(_ name: String, rows: Int, columns: Int, bias: Bool, layout: Layout = .rowsByColumns) {
        self.init(
            name: name, rows: rows, columns: columns, weight: name + ".weight", bias: bias ? name + ".bias" : nil, layout: layout)
    }

    /// The same linear with its weight under another name.
    func with(weight: String) -> Linear {
        Linear(name: name, rows: rows, columns: columns, weight: weight, bias: bias, layout: layout)
    }

    private init(name: String, rows: Int, columns: Int, weight: String, bias: String?, layout: Layout) {
        self.name = name
        self.rows = rows
        self.columns = columns
        self.weight = weight
        self.bias = bias
        self.layout = layout
    }

    /// The weight's shape as stored.
    public var storedShape: [Int] { layout == .rowsByColumns ? [rows, columns] : [columns, rows] }
}
