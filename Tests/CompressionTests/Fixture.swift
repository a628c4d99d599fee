// The cases that Tests/Compatibility/gptq_reference.py computed in float64.

import Compression
import Foundation
import Testing
import LinearAlgebra

struct Fixture: Sendable {
    struct Case: Sendable, CustomTestStringConvertible {
        let options: QuantizationOptions
        let codes: [UInt8]
        let scales: [Float]
        let zeros: [UInt8]
        let loss: [Double]

        var testDescription: String {
            "\(options.bits) bits, group \(options.group), \(options.symmetric ? "symmetric" : "asymmetric"), \(options.grid), \(options.scaleType)"
                + (options.actOrder ? ", act-order" : "") + (options.staticGroups ? ", static" : "")
        }
    }

    let weights: Matrix<Float>
    let hessian: Matrix<Double>
    let cases: [Case]

    static let shared: Fixture = {
        do { return try Fixture() } catch { fatalError("the fixtures cannot be read: \(error)") }
    }()

    private init() throws {
        struct Header: Decodable {
            let rows: Int
            let columns: Int
            let cases: [QuantizationOptions]
        }
        let folder = Bundle.module.bundleURL.appendingPathComponent("Fixtures")
        let header = try JSONDecoder().decode(Header.self, from: Data(contentsOf: folder.appendingPathComponent("gptq.json")))
        let data = try Data(contentsOf: folder.appendingPathComponent("gptq.bin"))
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
        cases = header.cases.map { options in
            let groups = options.groupCount(columns: columns)
            return Case(
                options: options, codes: next(UInt8.self, rows * columns), scales: next(Float.self, rows * groups),
                zeros: next(UInt8.self, rows * groups), loss: next(Double.self, rows))
        }
    }
}
