// The cases that Tests/Compatibility/sparsegpt_reference.py computed in float64, on a slice of a real layer.

import Compression
import LinearAlgebra
import Testing

struct PruningFixture: Sendable {
    struct Case: Sendable, CustomTestStringConvertible {
        let method: String
        let pruning: PruningOptions
        let content: TileContent
        /// The new weights: [rows, columns]
        let weights: [Float]
        let loss: [Double]

        var testDescription: String { "\(method) \(pruning.sparsity), \(pruning.scope), \(content)" }
    }

    let weights: Matrix<Float>
    let hessian: Matrix<Double>
    let cases: [Case]

    static let shared: PruningFixture = {
        do { return try PruningFixture() } catch { fatalError("the fixtures cannot be read: \(error)") }
    }()

    private struct Settings: Decodable {
        let method: String
        let sparsity: Sparsity
        let type: ScaleType
        let maskBlock: Int
        let quantization: IntegerOptions?
    }

    private init() throws {
        var file = try ReferenceFile<Settings>("sparsegpt")
        (weights, hessian) = (file.weights, file.hessian)
        let (rows, columns) = (weights.rows, weights.columns)
        cases = file.cases.map { entry in
            let scopes: [String: PruningOptions.Scope] = ["wanda": .rows, "magnitude": .layer]
            return Case(
                method: entry.method, pruning: PruningOptions(sparsity: entry.sparsity, scope: scopes[entry.method] ?? .blocks(of: entry.maskBlock)),
                content: entry.quantization.map { .codes($0.options) } ?? .values(entry.type), weights: file.next(rows * columns), loss: file.next(rows))
        }
    }
}

/// A tile at the beginning of a method.
func beginPruning(
    _ method: String, _ weights: Matrix<Float>, _ factor: Factor, penalised: Factor? = nil, _ pruning: PruningOptions, _ content: TileContent
) throws -> any PruningTile {
    switch method {
    case "sparsegpt": try SparseGPTTile(weights: weights, factor: factor, pruning: pruning, content: content)
    case "admm": try ADMMTile(weights: weights, factor: factor, penalised: #require(penalised), pruning: pruning, content: content)
    case "exactobs": try ExactOBSTile(weights: weights, factor: factor, inverse: InverseHessian(factor), pruning: pruning, content: content)
    case "wanda": try wanda(weights: weights, factor: factor, pruning: pruning, content: content)
    default: try magnitude(weights: weights, pruning: pruning, content: content, factor: factor)
    }
}

extension SolvedTile {
    /// What clients will see, row by row.
    func weights(_ rows: Int, _ columns: Int) -> [Float] {
        let result = Matrix<Float>(repeating: .nan, rows, columns)
        dequantize(into: result)
        return result.elements()
    }
}
