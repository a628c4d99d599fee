// The kernels of exact summation against their definitions.

import CKernels
import LinearAlgebra
import SeededNumbers
import Testing

private let sizes = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 1001]

@Suite struct ExactSumKernelTests {
    @Test(arguments: sizes)
    func largestMagnitudes(size: Int) {
        let values = randomFloats(size, seed: 5).map { $0 * 100 }
        #expect(cleave_max_magnitude_f32(values, size) == values.map(abs).max() ?? 0)
        let narrow = values.map { BFloat16($0) }
        #expect(cleave_max_magnitude_bf16(narrow.map(\.bits), size) == narrow.map { abs($0.float) }.max() ?? 0)
    }

    /// Wherever it is, one element that is not finite makes the result infinite.
    @Test(arguments: [Float.nan, -.nan, .signalingNaN, .infinity, -.infinity])
    func oneElementThatIsNotFinite(value: Float) {
        for size in sizes where size > 0 {
            for place in Set([0, size / 2, size - 1]) {
                var values = randomFloats(size, seed: 6)
                values[place] = value
                #expect(cleave_max_magnitude_f32(values, size) == .infinity)
                #expect(maxMagnitude(Matrix(values.map { BFloat16($0) }, 1, size)) == .infinity)
            }
        }
    }

    @Test func subnormalsAndZerosHaveMagnitudes() {
        #expect(maxMagnitude(Matrix<Float>([-0.0, -.leastNonzeroMagnitude, 0], 1, 3)) == .leastNonzeroMagnitude)
        #expect(maxMagnitude(Matrix<Float>(repeating: 0, 0, 3)) == 0)
        #expect(maxMagnitude(Matrix([BFloat16(bits: 0x8001), BFloat16(bits: 0)], 1, 2)) == BFloat16(bits: 1).float)
    }

    @Test(arguments: sizes, [-20, 0, 3])
    func roundsHalfToEvenMultiplesOfTheQuantum(size: Int, exponent: Int) {
        let quantum = Double(sign: .plus, exponent: exponent, significand: 1)
        // Every other value is half way between two multiples.
        let values = randomFloats(size, seed: 7).enumerated().map { $0 % 2 == 0 ? Float((Double($0 - 50) + 0.5) * quantum) : $1 * 64 }
        var sum = (0..<size).map { Double($0) * quantum }
        let expected = zip(sum, values).map { $0 + (Double($1) / quantum).rounded(.toNearestOrEven) * quantum } + [42]
        sum.append(42)
        cleave_add_quantized(values, &sum, size, quantum, 1 / quantum)
        #expect(sum == expected)
    }
}
