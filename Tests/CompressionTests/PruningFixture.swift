// The cases that Tests/Compatibility/sparsegpt_reference.py computed in float64, on a slice of a real layer.

import Compression
import Foundation
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

    private struct Header: Decodable {
        struct Case: Decodable {
            let method: String
            let sparsity: Sparsity
            let type: ScaleType
            let maskBlock: Int
            let quantization: QuantizationOptions?
        }

        let rows: Int
        let columns: Int
        let cases: [Case]
    }

    private init() throws {
        let folder = Bundle.module.bundleURL.appendingPathComponent("Fixtures")
        let header = try JSONDecoder().decode(Header.self, from: Data(contentsOf: folder.appendingPathComponent("sparsegpt.json")))
        let data = try Data(contentsOf: folder.appendingPathComponent("sparsegpt.bin"))
        var offset = 0
        func next<T: BitwiseCopyable>(_ type: T.Type, _ count: Int) -> [T] {
            defer { offset += count * MemoryLayout<T>.stride }
            return data.withUnsafeBytes { bytes in
                (0..<count).map { bytes.loadUnaligned(fromByteOffset: offset + $0 * MemoryLayout<T>.stride, as: T.self) }
            }
        }
        let (rows, columns) = (header.rows, header.columns)
        weights = Matrix(next(Float.self, rows * columns), rows, columns)
        hessian = Matrix(next(Float.self, columns * columns).map(Double.init), columns, columns)
        cases = header.cases.map { entry in
            let scopes: [String: PruningOptions.Scope] = ["wanda": .rows, "magnitude": .layer]
            return Case(
                method: entry.method, pruning: PruningOptions(sparsity: entry.sparsity, scope: scopes[entry.method] ?? .blocks(of: entry.maskBlock)),
                content: entry.quantization.map(TileContent.codes) ?? .values(entry.type), weights: next(Float.self, rows * columns),
                loss: next(Double.self, rows))
        }
    }
}

/// A tile at the beginning of a method.
func beginPruning(
    _ method: String, _ weights: Matrix<Float>, _ factor: Factor, _ pruning: PruningOptions, _ content: TileContent
) throws -> any PruningTile {
    switch method {
    case "sparsegpt": try SparseGPTTile(weights: weights, factor: factor, pruning: pruning, content: content)
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
