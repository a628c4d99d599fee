// Linears whose weights are parts of tensors that hold those of many.

import LinearAlgebra
import Testing
import Transformers

@Suite struct TensorSliceTests {
    /// Tensors of counted numbers, as matrices one below the other.
    private struct Counted: ParameterSource {
        /// Rows and columns.
        let shapes: [String: (Int, Int)]

        func matrix(_ tensor: String) throws -> Matrix<Float> {
            let (rows, columns) = try #require(shapes[tensor])
            return Matrix((0..<rows * columns).map { Float($0) }, rows, columns)
        }

        func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
            try rows(tensor, indices, columns: 0..<destination.columns, into: destination)
        }
    }

    /// The second of 3 experts, of 4 rows and 5 columns beside another of as many rows.
    private func linear(_ layout: Linear.Layout, first: Int, step: Int) -> Linear {
        Linear(
            name: "experts.1.up", rows: 4, columns: 5, weight: "experts.up", bias: "experts.up_bias", layout: layout,
            slice: TensorSlice(matrices: 3, matrix: 1, outputs: 8, first: first, step: step))
    }

    @Test(arguments: [(0, 1), (4, 1), (0, 2), (1, 2)])
    func partsOfATensor(first: Int, step: Int) throws {
        let source = Counted(shapes: ["experts.up": (3 * 8, 5), "transposed": (3 * 5, 8), "experts.up_bias": (3, 8)])
        let outputs = (0..<4).map { first + $0 * step }
        let plain = linear(.rowsByColumns, first: first, step: step)
        #expect(plain.storedShape == [3, 8, 5] && plain.storedBiasShape == [3, 8] && plain.fileName == "experts.1.up" && plain.names == ["experts.1.up"])
        let other = linear(.columnsByRows, first: first, step: step)
        #expect(other.storedShape == [3, 5, 8])
        for rows in [0..<4, 1..<3, 3..<4, 2..<2] {
            let (straight, turned) = (Matrix<Float>(repeating: -1, rows.count, 5), Matrix<Float>(repeating: -1, rows.count, 5))
            try source.rows(of: plain, rows, into: straight)
            try source.rows(
                of: Linear(name: "t", rows: 4, columns: 5, weight: "transposed", bias: nil, layout: .columnsByRows, slice: other.slice), rows, into: turned)
            var (expected, expectedTurned): ([Float], [Float]) = ([], [])
            for output in outputs[rows] {
                for column in 0..<5 {
                    expected.append(Float((8 + output) * 5 + column))
                    expectedTurned.append(Float((5 + column) * 8 + output))
                }
            }
            #expect(straight.elements() == expected)
            #expect(turned.elements() == expectedTurned)
        }
        let bias = Matrix<Float>(repeating: -1, 1, 4)
        try source.bias(of: plain, into: bias)
        #expect(bias.elements() == outputs.map { Float(8 + $0) })
    }

    /// Without a slice: the whole tensor, transposed or not.
    @Test func wholeTensors() throws {
        let source = Counted(shapes: ["a.weight": (4, 5), "b.weight": (5, 4)])
        let found = Matrix<Float>(repeating: -1, 2, 5)
        try source.rows(of: Linear(name: "a", rows: 4, columns: 5, weight: "a.weight", bias: nil, layout: .rowsByColumns), 2..<4, into: found)
        #expect(found.elements() == (10..<20).map { Float($0) })
        try source.rows(of: Linear(name: "b", rows: 4, columns: 5, weight: "b.weight", bias: nil, layout: .columnsByRows), 2..<4, into: found)
        #expect(found.elements() == [2, 6, 10, 14, 18, 3, 7, 11, 15, 19])
    }
}
