// Which experts of a mixture a token goes to.

internal import Glibc
public import LinearAlgebra

/// A router: a linear layer whose outputs, one for each expert, say which experts a token goes to and what their outputs weigh. It is never compressed.
///
/// Computed in fp32 from the input in the compute type, as transformers computes it.
public struct Router: Sendable, Hashable {
    /// Weight: [experts, hidden].
    public let linear: Linear
    package let rule: RouterRule

    public var experts: Int { linear.rows }
    /// Experts of a token.
    public var chosen: Int { rule.chosen }
    /// Groups of neighbouring experts, of which a token's come from a few; 1 where there are none.
    public var groups: Int { rule.groups?.count ?? 1 }
    /// The tensors that have a row, or a number, for each expert.
    public var tensors: [String] { [linear.weight] + [linear.bias, rule.correction].compactMap { $0 } }
    /// Whether inputs of experts are multiplied with the router's scores.
    public var weighsInputs: Bool { rule.weighsInputs }

    func renamed(_ file: (String) -> String) -> Router {
        var rule = rule
        rule.correction = rule.correction.map(file)
        return Router(linear: linear.renamed(file), rule: rule)
    }

    /// - Parameters:
    ///   - x: the input: [tokens, hidden], in fp32.
    ///   - weights: of `linear`, in fp32.
    ///   - correction: of the rule's tensor of that name; empty where there is none.
    func route(_ x: Matrix<Float>, weights: LinearWeights, correction: [Float]) -> Route {
        let outputs = weights.apply(to: .f32(x))
        let experts = Matrix<Int32>(uninitialized: x.rows, chosen), shares = Matrix<Float>(uninitialized: x.rows, chosen)
        let scores = rule.weighsInputs ? outputs : nil
        forEachRowRange(x.rows) { rows in
            for row in rows {
                rule.choose(outputs.row(row), count: self.experts, correction: correction, experts.row(row), shares.row(row))
                guard let scores else { continue }
                for expert in 0..<self.experts { scores[row, expert] = 1 / (1 + exp(-scores[row, expert])) }
                for choice in 0..<chosen { shares[row, choice] = 1 }
            }
        }
        return Route(experts: experts, weights: shares, inputWeights: scores)
    }
}

/// For the tokens of a batch: which experts they go to, and with what weight.
public struct Route: Sendable {
    /// [tokens, chosen], ascending in each row.
    public let experts: Matrix<Int32>
    /// [tokens, chosen]
    public let weights: Matrix<Float>
    /// What the input of an expert is multiplied with, [tokens, experts]; nil: nothing.
    public let inputWeights: Matrix<Float>?

    public var tokens: Int { experts.rows }
    public var chosen: Int { experts.columns }
}
