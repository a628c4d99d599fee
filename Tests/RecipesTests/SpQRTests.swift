// `method: spqr` in recipes: what follows from it, what it takes the place of, and what contradicts it.

import Compression
import Recipes
import Testing

@Suite struct SpQRTests {
    private static func recipe(_ compress: String, _ more: String = "") throws(RecipeError) -> Recipe {
        try Recipe(yaml: "model: m\noutput: o\ncalibration: {source: c}\ncompress: \(compress)\nformat: spqr\n\(more)", file: "r.yaml")
    }

    @Test func defaults() throws {
        let treatment = try Self.recipe("{method: spqr}").rules[0].treatment
        #expect(treatment.method == .spqr && treatment.type == .spqr && treatment.bits == 3 && treatment.group == 16)
        #expect(treatment.outlierThreshold == 0.2 && treatment.actOrder == .groups && !treatment.symmetric)
        #expect(treatment.summary == "spqr 3 bits by 16" && treatment.method.needsHessian)
        let options = try #require(treatment.options(scaleType: .bf16))
        #expect(options == QuantizationOptions(spqr: 3, group: 16, actOrder: true, wholeGroups: true))
        try options.validate()
        #expect(OutputFormat.spqr.scaleType == .f16)
    }

    @Test func whatIsGiven() throws {
        let settings = "{method: spqr, bits: 4, group: 32, act_order: true, outlier_threshold: 0.05, damping: 0.3, symmetric: false, type: spqr}"
        let treatment = try Self.recipe(settings).rules[0].treatment
        #expect(treatment.bits == 4 && treatment.group == 32 && treatment.actOrder == .columns && treatment.outlierThreshold == 0.05)
        #expect(treatment.damping == 0.3)
        #expect(try Self.recipe("{method: spqr, outlier_threshold: 0, act_order: false}").rules[0].treatment.outlierThreshold == 0)
    }

    /// A rule with another method has no threshold, and one without a method has that of `compress`.
    @Test func rules() throws {
        let rules = try Self.recipe(
            "{method: spqr, outlier_threshold: 0.1}",
            "rules: [{match: '*.q_proj', method: gptq}, {match: '*.k_proj', outlier_threshold: 1}, {match: '*'}]"
        ).rules.map(\.treatment)
        #expect(rules.map(\.outlierThreshold) == [nil, 1, 0.1] && rules.map(\.method) == [.gptq, .spqr, .spqr])
        #expect(rules[0].type == nil && rules[0].bits == 4 && rules[0].group == 128)
        let mixed = try Self.recipe("{bits: 3, group: 32}", "rules: [{match: '*.q_proj', method: spqr}, {match: '*'}]").rules
        #expect(mixed[0].treatment.method == .spqr && mixed[0].treatment.group == 32 && mixed[1].treatment.outlierThreshold == nil)
    }

    @Test(arguments: [
        ("{method: spqr, group: -1}", "`group: -1` contradicts"), ("{method: spqr, symmetric: true}", "`symmetric: true` contradicts"),
        ("{method: spqr, scales: signed}", "`scales` says nothing"), ("{method: spqr, grid: solved}", "`grid: solved` contradicts"),
        ("{method: spqr, static_groups: true}", "`static_groups: true` contradicts"), ("{method: spqr, sparsity: 0.5}", "`sparsity` goes with"),
        ("{method: spqr, mask_block: 64}", "`mask_block` goes with"), ("{method: spqr, stream_strength: 1}", "`stream_strength` goes with `target: dense`"),
        ("{method: spqr, target: dense}", "`target: dense` goes with `method: gptq`"),
        ("{method: spqr, type: fp8}", "`type: fp8` contradicts"), ("{method: spqr, type: q4_k}", "`type: q4_k` contradicts"),
        ("{method: spqr, bits: ternary}", "`type: ternary` contradicts"), ("{method: spqr, strategy: group}", "`strategy: group` contradicts"),
        ("{method: spqr, activations: dynamic}", "`activations: dynamic` contradicts"), ("{type: spqr}", "`type: spqr` goes with `method: spqr`"),
        ("{method: gptq, outlier_threshold: 0.1}", "`outlier_threshold` goes with `method: spqr`"), ("{outlier_threshold: 0.1}", "not with `method: gptq`"),
        ("{method: spqr, outlier_threshold: -1}", "outlier_threshold"), ("{method: spqr, bits: {average: 3}}", "budget of `bits`"),
        ("{method: spqr, damping: 3, max_damping: 2}", "`damping` 3.0 is above"), ("{method: spqr, bits: 5}", "one of 2, 3, 4, 8"),
    ])
    func contradictions(compress: String, words: String) {
        let error = #expect(throws: RecipeError.self) { try Self.recipe(compress) }
        #expect(error.map { "\($0)" }?.contains(words) == true, "\(error.map { "\($0)" } ?? "")")
    }
}
