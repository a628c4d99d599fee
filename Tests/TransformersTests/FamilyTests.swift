// Every family and variant against transformers' own logits.

import Foundation
import LinearAlgebra
import Testing
import Transformers

private let variants = [
    "llama", "llama-tied-grouped", "llama-biases-head-size", "llama-rope-llama3", "llama-rope-linear", "mistral-window",
    "mistral-no-window", "qwen2", "qwen2-windows", "qwen3", "gpt2", "gpt2-erf", "opt", "opt-no-bias", "gpt-neox", "gpt-neox-sequential",
]

@Suite struct FamilyTests {
    @Test(arguments: variants)
    func namesEveryTensorOfTheCheckpoint(variant: String) throws {
        let fixture = try Fixture(variant)
        let expected = try fixture.architecture().expectedTensors()
        #expect(Set(expected.map(\.name)).count == expected.count)
        #expect(Dictionary(expected.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first }) == fixture.shapes)
    }

    @Test(arguments: variants)
    func logitsAreThoseOfTransformers(variant: String) throws {
        let fixture = try Fixture(variant)
        #expect(try difference(fixture, .f32) < 1e-4)
    }

    /// bf16 keeps 8 bits: two blocks of it change logits of size 1 to 10 by some hundredths of their size, and not more.
    @Test(arguments: variants)
    func bf16IsCloseToF32(variant: String) throws {
        let fixture = try Fixture(variant)
        let exact = try fixture.forward(.f32).logits(fixture.ids)
        let rounded = try fixture.forward(.bf16).logits(fixture.ids)
        let size = (exact.elements().map { $0 * $0 }.reduce(0, +) / Float(exact.count)).squareRoot()
        let error = zip(exact.elements(), rounded.elements()).map { ($0 - $1) * ($0 - $1) }.reduce(0, +) / Float(exact.count)
        #expect(error.squareRoot() < 0.03 * size)
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
