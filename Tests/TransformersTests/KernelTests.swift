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

    /// From far below the cap to far above, through the place where the series ends.
    @Test func softcap() {
        let values = stride(from: Float(-30), through: 30, by: 0.0037).map { $0 }
        var result = values
        cleave_softcap(&result, result.count, 0.5, 3)
        let worst = zip(values, result).map { x, y -> Double in
            let expected = 3 * tanh(0.5 * Double(x))
            return abs(Double(y) - expected) / (abs(expected) + 1e-25)
        }
        #expect((worst.max() ?? .infinity) < 1e-6)
        var undefined: [Float] = [.nan, 0]
        cleave_softcap(&undefined, 2, 1, 1)
        #expect(undefined[0].isNaN && undefined[1] == 0)
    }

    @Test(arguments: sizes)
    func sums(size: Int) {
        let (x, addend) = (random(size, around: 1), random(size, around: 0))
        var result = x
        cleave_scale_and_add(&result, addend, size, 0.3)
        let factor: Float = 0.3
        expect(result, zip(x, addend).map { x, y in Double(factor) * Double(x) + Double(y) }, within: 1e-6)
        result = x
        cleave_scale(&result, size, factor)
        let scaled = x.map { $0 * factor }
        #expect(result == scaled)
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
        // The same pairs side by side.
        var interleaved = (0..<2 * half).map { x[$0 / 2 + $0 % 2 * half] }
        cleave_rotate_interleaved(&interleaved, angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) }, half)
        #expect(interleaved == (0..<2 * half).map { result[$0 / 2 + $0 % 2 * half] })
    }

    /// At a sequence's start, where there are fewer tokens than taps, and later.
    @Test(arguments: sizes, [1, 3, 4])
    func shortConvolution(channels: Int, taps: Int) {
        let (tokens, stride) = (6, channels + 3)
        let (x, weights) = (random(tokens * stride, around: 0), random(channels * taps, around: 0))
        for token in 0..<tokens {
            var result = [Float](repeating: .nan, count: channels)
            x.withUnsafeBufferPointer {
                cleave_short_convolution($0.baseAddress! + token * stride, stride, token, weights, taps, &result, channels)
            }
            let expected = (0..<channels).map { channel -> Double in
                let sum = (0..<taps).reduce(0.0) { sum, tap in
                    let earlier = token - (taps - 1 - tap)
                    return earlier < 0 ? sum : sum + Double(weights[channel * taps + tap]) * Double(x[earlier * stride + channel])
                }
                return sum / (1 + exp(-sum))
            }
            expect(result, expected, within: 1e-6)
        }
    }

    @Test(arguments: zip(sizes, sizes.reversed()).filter { $0.0 * $0.1 <= 3000 })
    func deltaStep(keys: Int, values: Int) {
        let (query, key, value) = (random(keys, around: 0), random(keys, around: 0), random(values, around: 0))
        let start = random(keys * values, around: 0), (decay, beta) = (Float(0.8), Float(0.3))
        var (state, change, result) = (start, [Float](repeating: .nan, count: values), [Float](repeating: .nan, count: values))
        cleave_delta_step(&state, query, key, value, decay, beta, &change, &result, keys, values)
        var expected = start.map { Double(decay) * Double($0) }
        var contexts = [Double](repeating: 0, count: values)
        for column in 0..<values {
            let known = (0..<keys).reduce(0.0) { $0 + Double(key[$1]) * expected[$1 * values + column] }
            for row in 0..<keys {
                expected[row * values + column] += Double(key[row]) * Double(beta) * (Double(value[column]) - known)
                contexts[column] += Double(query[row]) * expected[row * values + column]
            }
        }
        expect(state, expected, within: 1e-5 * Double(keys).squareRoot())
        expect(result, contexts, within: 1e-5 * Double(keys))
    }

    private func random(_ count: Int, around center: Float, spread: Float = 1) -> [Float] {
        randomFloats(count, seed: UInt64(count) &* 1000 &+ UInt64(center * 10)).map { center + spread * $0 }
    }

    private func expect(_ found: [Float], _ expected: [Double], within tolerance: Double, at location: SourceLocation = #_sourceLocation) {
        let error = zip(found, expected).map { abs(Double($0) - $1) / max(1, abs($1)) }.max() ?? 0
        #expect(error < tolerance, sourceLocation: location)
    }
}
