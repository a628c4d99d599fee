// The C kernels against plain Swift in double precision, at sizes around a vector's.

import CKernels
import Foundation
import SeededNumbers
import Testing
import Transformers

private let sizes = [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257, 1000]

@Suite struct KernelTests {
    @Test(arguments: ActivationFunction.allCases)
    func activationsAreTheirDefinitions(function: ActivationFunction) {
        let values = stride(from: Float(-30), through: 30, by: 0.0037).map { $0 }
        var result = values
        function.apply(to: &result, count: result.count)
        // Far out, exp sees the rounding of its large argument.
        let worst =
            zip(values, result).map { x, y in
                let expected = function(Double(x))
                return abs(Double(y) - expected) / (abs(expected) * (1 + Double(x * x) / 8) + 1e-25)
            }.max() ?? .infinity
        #expect(worst < 1e-6)
    }

    @Test(arguments: ActivationFunction.allCases)
    func activationsKeepNotANumber(function: ActivationFunction) {
        var values: [Float] = [.nan, 1]
        function.apply(to: &values, count: 2)
        #expect(values[0].isNaN && !values[1].isNaN)
    }

    @Test(arguments: sizes)
    func rootMeanSquareNorm(size: Int) {
        let (x, weight) = (random(size, around: 0.3), random(size, around: 1))
        var result = x
        cleave_rms_norm(x, weight, &result, size, 1e-5)
        let meanSquare = x.map { Double($0) * Double($0) }.reduce(0, +) / Double(size)
        expect(result, zip(x, weight).map { Double($0) / (meanSquare + 1e-5).squareRoot() * Double($1) }, within: 1e-6)
    }

    @Test(arguments: sizes)
    func layerNorm(size: Int) {
        let (x, weight, bias) = (random(size, around: 3), random(size, around: 1), random(size, around: 0))
        let mean = x.map { Double($0) }.reduce(0, +) / Double(size)
        let variance = x.map { (Double($0) - mean) * (Double($0) - mean) }.reduce(0, +) / Double(size)
        let scaled = zip(x, weight).map { (Double($0) - mean) / (variance + 1e-5).squareRoot() * Double($1) }
        var result = x
        cleave_layer_norm(x, weight, bias, &result, size, 1e-5)
        // Where elements are nearly alike, their differences from the mean are mostly rounding, magnified by 1 / sqrt(variance).
        let tolerance = 1e-5 + 4e-7 / (variance + 1e-5).squareRoot() * (x.map { Double(abs($0)) }.max() ?? 0)
        expect(result, zip(scaled, bias).map { $0 + Double($1) }, within: tolerance)
        cleave_layer_norm(x, weight, nil, &result, size, 1e-5)
        expect(result, scaled, within: tolerance)
    }

    @Test(arguments: sizes)
    func softmax(size: Int) {
        let x = random(size, around: 5, spread: 20)
        var result = x
        cleave_softmax(&result, size, 0.25)
        let exponentials = x.map { exp(0.25 * Double($0)) }
        let sum = exponentials.reduce(0, +)
        expect(result, exponentials.map { $0 / sum }, within: 1e-6)
    }

    @Test(arguments: sizes)
    func logSumExp(size: Int) {
        let x = random(size, around: 100, spread: 30)
        let expected = log(x.map { exp(Double($0) - 100) }.reduce(0, +)) + 100
        #expect(abs(cleave_log_sum_exp(x, size) - expected) < 1e-6)
    }

    @Test(arguments: sizes)
    func rotation(half: Int) {
        let (x, angles) = (random(2 * half, around: 0), random(half, around: 0, spread: 3).map { Double($0) })
        var result = x
        cleave_rotate(&result, angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) }, half)
        let pairs = (0..<half).map { (Double(x[$0]), Double(x[$0 + half]), angles[$0]) }
        expect(result, pairs.map { $0 * cos($2) - $1 * sin($2) } + pairs.map { $1 * cos($2) + $0 * sin($2) }, within: 1e-6)
    }

    private func random(_ count: Int, around center: Float, spread: Float = 1) -> [Float] {
        randomFloats(count, seed: UInt64(count) &* 1000 &+ UInt64(center * 10)).map { center + spread * $0 }
    }

    private func expect(_ found: [Float], _ expected: [Double], within tolerance: Double, at location: SourceLocation = #_sourceLocation) {
        let error = zip(found, expected).map { abs(Double($0) - $1) / max(1, abs($1)) }.max() ?? 0
        #expect(error < tolerance, sourceLocation: location)
    }
}
