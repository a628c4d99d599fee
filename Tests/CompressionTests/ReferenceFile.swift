// The files that the float64 references write (Tests/Compatibility/reference_file.py): a layer, and what they computed for some cases.

import Foundation
import LinearAlgebra
import Testing

/// NAME.json (shape and cases) and NAME.bin (weights, Hessian, then the numbers of each case).
struct ReferenceFile<Case: Decodable> {
    let weights: Matrix<Float>
    let hessian: Matrix<Double>
    let cases: [Case]
    private let data: Data
    private var offset = 0

    init(_ name: String) throws {
        let folder = Bundle.module.bundleURL.appendingPathComponent("Fixtures")
        let header = try JSONDecoder().decode(Header.self, from: Data(contentsOf: folder.appendingPathComponent(name + ".json")))
        data = try Data(contentsOf: folder.appendingPathComponent(name + ".bin"))
        cases = header.cases
        let (rows, columns) = (header.rows, header.columns)
        weights = Matrix(Self.numbers(data, &offset, rows * columns), rows, columns)
        hessian = Matrix(Self.numbers(data, &offset, columns * columns).map { (number: Float) in Double(number) }, columns, columns)
    }

    private struct Header: Decodable {
        let rows: Int
        let columns: Int
        let cases: [Case]
    }

    /// The next numbers of the cases.
    mutating func next<Number: BitwiseCopyable>(_ count: Int) -> [Number] {
        Self.numbers(data, &offset, count)
    }

    private static func numbers<Number: BitwiseCopyable>(_ data: Data, _ offset: inout Int, _ count: Int) -> [Number] {
        let start = offset
        offset += count * MemoryLayout<Number>.stride
        return data.withUnsafeBytes { bytes in
            (0..<count).map { bytes.loadUnaligned(fromByteOffset: start + $0 * MemoryLayout<Number>.stride, as: Number.self) }
        }
    }
}
