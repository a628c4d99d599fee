// Every family and variant against transformers' own logits.

import Foundation
import LinearAlgebra
import Testing
import Transformers

private let dense = [
    "llama", "llama-tied-grouped", "llama-biases-head-size", "llama-rope-llama3", "llama-rope-linear", "mistral-window",
    "mistral-no-window", "qwen2", "qwen2-windows", "qwen3", "gpt2", "gpt2-erf", "opt", "opt-no-bias", "gpt-neox", "gpt-neox-sequential",
    "llama-rope-dynamic", "phi3", "phi3-plain", "gemma2", "gemma3", "granite", "cohere", "cohere-norms", "cohere2", "falcon", "falcon-groups", "falcon-alibi",
    "gptj", "bloom", "qwen3_5",
]
private let mixtures = [
    "mixtral", "qwen2-moe", "qwen2-moe-some-blocks", "qwen3-moe", "qwen3-moe-some-blocks", "olmoe", "olmoe-clipped",
    "deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "deepseek-v3-whole-queries", "deepseek-v32", "glm-moe-dsa", "glm4-moe", "glm4-moe-air",
    "glm4-moe-lite", "minimax-m2", "qwen3-next", "qwen3-next-dense", "gpt-oss", "llama4", "llama4-two", "qwen3_5-moe",
]
private let variants = dense + mixtures

@Suite struct FamilyTests {
    @Test(arguments: variants)
    func namesEveryTensorOfTheCheckpoint(variant: String) throws {
        let fixture = try Fixture(variant)
        let architecture = try fixture.architecture()
        let expected = architecture.expectedTensors()
        #expect(Set(expected.map(\.name)).count == expected.count)
        let shapes = fixture.shapes.filter { name, _ in architecture.lengthLimit.map { !($0.unread.map(name.contains) ?? false) } ?? true }
        #expect(Dictionary(expected.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first }) == shapes)
    }

    @Test(arguments: variants)
    func logitsAreThoseOfTransformers(variant: String) throws {
        let fixture = try Fixture(variant)
        #expect(try difference(fixture, .f32) < 1e-4)
    }

    /// bf16 keeps 8 bits: two blocks of it change logits of size 1 to 10 by some hundredths of their size, and not more; in a mixture a token that stands
    /// between two experts may go to the other.
    @Test(arguments: zip(variants, dense.map { _ in Float(0.03) } + mixtures.map { _ in Float(0.1) }))
    func bf16IsCloseToF32(variant: String, most: Float) throws {
        let fixture = try Fixture(variant)
        let exact = try fixture.forward(.f32).logits(fixture.ids)
        let rounded = try fixture.forward(.bf16).logits(fixture.ids)
        let size = (exact.elements().map { $0 * $0 }.reduce(0, +) / Float(exact.count)).squareRoot()
        let error = zip(exact.elements(), rounded.elements()).map { ($0 - $1) * ($0 - $1) }.reduce(0, +) / Float(exact.count)
        #expect(error.squareRoot() < most * size)
        #expect(error > 0)
    }

    /// The last tokens of each sequence, which depend on all the others.
    private func difference(_ fixture: Fixture, _ compute: Compute) throws -> Float {
        let forward = try fixture.forward(compute)
        let logits = try forward.logits(fixture.ids)
        var end = 0
        return zip(fixture.ids, fixture.expected).map { ids, expected in
            end += ids.count
            return largestDifference(logits.rows(end - expected.rows..<end), expected)
        }.max() ?? .infinity
    }
}
