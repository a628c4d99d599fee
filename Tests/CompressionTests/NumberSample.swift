// Weights, and what compressed-tensors 0.20.1 makes of them in each type of numbers.

import Compression
import LinearAlgebra
import Testing

struct NumberSample: Sendable, CustomTestStringConvertible {
    let number: NumberType
    let strategy: ScaleStrategy
    /// [2, 32]
    let codes: [UInt8]
    /// [2, groups], divided where there is a divisor.
    let scales: [Float]
    let divisor: Float?

    var testDescription: String { "\(number) \(strategy)" }

    /// The numbers by their codes.
    var numbers: [Float] {
        switch number {
        case .int8: (0..<256).map { Float($0 - 128) }
        case .mxfp4, .nvfp4: Float4.e2m1
        default: Float8.e4m3
        }
    }

    /// x[i] = ((7i + 3) mod 32 - 16) / 8, and the same times 0.4375.
    static let weights: Matrix<Float> = {
        let row = (0..<32).map { Float((7 * $0 + 3) % 32 - 16) / 8 }
        return Matrix(row + row.map { $0 * 0.4375 }, 2, 32)
    }()

    static let all: [NumberSample] = [
        NumberSample(
            .nvfp4, .group, packed: "cf51e73af60d75be62df49e62cf5ad64", "df51e73bf60d75be62df49e62cf5ad64",
            scales: [0x7d, 0x7e, 0x73, 0x74].map { Float8.e4m3[$0] / 1344 }, divisor: 1344),
        NumberSample(.mxfp4, .group, packed: "bd40c62ae50c64ad42ce38d51ae49c52", "bd40c529d40b53ac41cd38d51ae49c52", scales: [0x1p-1, 0x1p-2]),
        NumberSample(
            .fp8, .channel, bytes: "fbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717a",
            "fbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717a", scales: [Float(bitPattern: 0x3b92_4925), Float(bitPattern: 0x3b00_0000)]),
        NumberSample(
            .fp8, .tensor, bytes: "fbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717a",
            "f2e9546c73efe16470f3eb006b73f0e4616ff3ecd46972f1e75c6ef4eedc6771", scales: [Float(bitPattern: 0x3b92_4925), Float(bitPattern: 0x3b92_4925)]),
        NumberSample(
            .fp8, .block, bytes: "fbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717a",
            "f2e9546c73efe16470f3eb006b73f0e4616ff3ecd46972f1e75c6ef4eedc6771", scales: [Float(bitPattern: 0x3b92_4925), Float(bitPattern: 0x3b92_4925)]),
        NumberSample(
            .int8, .channel, bytes: "98d0084078b0e8205890c8003870a8e0185088c0f83068a0d8104881b8f02860",
            "98d0084078b0e8205890c8003870a8e0185088c0f83068a0d8104880b8f02860", scales: [Float(bitPattern: 0x3c80_8081), Float(bitPattern: 0x3be0_e0e1)]),
    ]

    /// The first row of MXFP8, of which no more is known.
    static let mxfp8 = (bytes: hex("f5ec587077f2e46873f6ee006e76f3e86472f7f0d86c75f4ea6071f8f1e06a74"), scales: [Float(0x1p-7), 0x1p-8])

    private init(_ number: NumberType, _ strategy: ScaleStrategy, codes: [UInt8], scales: [Float], divisor: Float?) {
        (self.number, self.strategy, self.codes, self.scales, self.divisor) = (number, strategy, codes, scales, divisor)
    }

    /// A byte for each weight; integers as they are stored, in two's complement.
    private init(_ number: NumberType, _ strategy: ScaleStrategy, bytes: String..., scales: [Float]) {
        let middle: UInt8 = number == .int8 ? 128 : 0
        self.init(number, strategy, codes: bytes.flatMap(hex).map { $0 ^ middle }, scales: scales, divisor: nil)
    }

    /// Two weights to a byte, the first in the lower half.
    private init(_ number: NumberType, _ strategy: ScaleStrategy, packed: String..., scales: [Float], divisor: Float? = nil) {
        self.init(number, strategy, codes: packed.flatMap(hex).flatMap { [$0 & 15, $0 >> 4] }, scales: scales, divisor: divisor)
    }
}

private func hex(_ text: String) -> [UInt8] {
    stride(from: 0, to: text.count, by: 2).compactMap { UInt8(text.dropFirst($0).prefix(2), radix: 16) }
}
