// The tensors of types of numbers, byte by byte: compressed-tensors 0.20.1 on two rows of 32 weights.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct NumberFormatTests {
    private let format = CompressedTensorsFormat()

    private struct Expected: Sendable {
        let number: NumberType
        var strategy: ScaleStrategy?
        /// By what follows the linear's name.
        let bytes: [String: String]
        let name: String
    }

    private static let expected = [
        Expected(
            number: .nvfp4,
            bytes: [
                "weight_packed": "cf51e73af60d75be62df49e62cf5ad64df51e73bf60d75be62df49e62cf5ad64", "weight_scale": "7d7e7374",
                "weight_global_scale": "0000a844",
            ], name: "nvfp4-pack-quantized"),
        Expected(
            number: .mxfp4, bytes: ["weight_packed": "bd40c62ae50c64ad42ce38d51ae49c52bd40c529d40b53ac41cd38d51ae49c52", "weight_scale": "7e7d"],
            name: "mxfp4-pack-quantized"),
        Expected(
            number: .fp8,
            bytes: [
                "weight":
                    "fbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717afbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717a",
                "weight_scale": "2549923b0000003b",
            ], name: "float-quantized"),
        Expected(
            number: .fp8, strategy: .tensor,
            bytes: [
                "weight":
                    "fbf25e767df9ea6e7afcf400747cfaee6a79fdf6de727bfaf16678fef8e6717af2e9546c73efe16470f3eb006b73f0e4616ff3ecd46972f1e75c6ef4eedc6771",
                "weight_scale": "2549923b",
            ], name: "float-quantized"),
        Expected(
            number: .int8,
            bytes: [
                "weight":
                    "98d0084078b0e8205890c8003870a8e0185088c0f83068a0d8104881b8f0286098d0084078b0e8205890c8003870a8e0185088c0f83068a0d8104880b8f02860",
                "weight_scale": "8180803ce1e0e03b",
            ], name: "int-quantized"),
    ]

    /// x[i] = ((7i + 3) mod 32 - 16) / 8, and the same times 0.4375.
    private func sample(_ options: QuantizationOptions) throws -> SampleLinear {
        let row = (0..<32).map { Float((7 * $0 + 3) % 32 - 16) / 8 }
        let weights = Matrix(row + row.map { $0 * 0.4375 }, 2, 32)
        return SampleLinear([EncodedTile(try roundToNearest(weights: weights, options: options), options: options)])
    }

    @Test(arguments: expected.indices)
    func bytesAreThePackages(index: Int) throws {
        let expected = Self.expected[index]
        var options = QuantizationOptions(expected.number, strategy: expected.strategy)
        options.scaleType = .f32
        let sample = try sample(options)
        let tensors = try format.tensors(sample.linear)
        #expect(Set(tensors.map(\.name)) == Set(expected.bytes.keys.map { "m.down.\($0)" }))
        for tensor in tensors {
            let bytes = try sample.bytes(tensor.name, format)
            #expect(bytes.count == tensor.byteCount)
            let text = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(text == expected.bytes[String(tensor.name.dropFirst("m.down.".count))], "\(tensor.name)")
        }
        #expect(try format.configuration([sample.linear], ignored: [])?["format"]?.string == expected.name)
        #expect(GPTQFormat(zeroPoints: .plain).refusal(sample.linear)?.contains("type: \(expected.number.rawValue)") == true)
    }

    /// What config.json says of inputs that clients round as they come; formats that have no place for it say so.
    @Test(
        arguments: [
            (QuantizationOptions(bits: 4, group: 16, activationType: .fp8), "float", 8, "token", nil),
            (QuantizationOptions(.mxfp4, activations: .dynamic), "float", 4, "group", 32),
            (QuantizationOptions(.mxfp4, activations: .dynamic, activationType: .fp8), "float", 8, "token", nil),
            (QuantizationOptions(.mxfp4, activations: .dynamic, activationType: .mxfp8), "float", 8, "group", 32),
            (QuantizationOptions(.mxfp8), "float", 8, "group", 32),
            (QuantizationOptions(.int8), "int", 8, "token", nil),
        ] as [(QuantizationOptions, String, Int, String, Int?)])
    func inputsThatAreRoundedAsTheyCome(options: QuantizationOptions, type: String, bits: Int, strategy: String, group: Int?) throws {
        let sample = try sample(options)
        let inputs = try #require(try format.configuration([sample.linear], ignored: [])?["config_groups"]?["group_0"]?["input_activations"])
        #expect(inputs["type"]?.string == type && inputs["num_bits"]?.integer == bits && inputs["strategy"]?.string == strategy)
        #expect(inputs["group_size"]?.integer == group && inputs["dynamic"]?.boolean == true && inputs["symmetric"]?.boolean == true)
        #expect(inputs["scale_dtype"]?.string == (group == nil ? nil : "torch.uint8"))
        if options.number == .int {
            #expect(GPTQFormat(zeroPoints: .plain).refusal(sample.linear)?.contains("says nothing of inputs in fp8") == true)
            #expect(MarlinFormat().refusal(sample.linear)?.contains("says nothing of inputs in fp8") == true)
            #expect(DenseFormat().refusal(sample.linear) == nil)
        }
    }

    @Test func groupsMustBeWhole() throws {
        let weights = Matrix<Float>(repeating: 1, 2, 40)
        for number in [NumberType.mxfp8, .mxfp4, .nvfp4] {
            let options = QuantizationOptions(number)
            let sample = SampleLinear([EncodedTile(try roundToNearest(weights: weights, options: options), options: options)])
            #expect(format.refusal(sample.linear)?.contains("40 columns are not a multiple") == true)
        }
    }
}
