// `bits: ternary` in recipes: what follows from it, what it takes the place of, and what contradicts it.

import Compression
import Recipes
import Testing

@Suite struct TernaryTests {
    private static func recipe(_ compress: String, _ more: String = "") throws(RecipeError) -> Recipe {
        try Recipe(yaml: "model: m\noutput: o\ncalibration: {source: c}\ncompress: \(compress)\nformat: qmoe\n\(more)", file: "r.yaml")
    }

    @Test func defaults() throws {
        let treatment = try Self.recipe("{bits: ternary}").rules[0].treatment
        #expect(treatment.type == .ternary && treatment.method == .gptq && treatment.grid == .minmax && treatment.group == -1 && treatment.actOrder == .columns)
        #expect(treatment.summary == "gptq ternary")
        let options = try #require(treatment.options(scaleType: .bf16))
        #expect(options.number == .ternary && options.group == -1)
        try options.validate()
        #expect(try Self.recipe("{type: ternary}").rules[0].treatment == treatment)
        let rounded = try Self.recipe("{bits: ternary, method: rtn, grid: mse}").rules[0].treatment
        #expect(rounded.method == .rtn && rounded.grid == .mse)
        #expect(OutputFormat.qmoe.scaleType == .bf16)
    }

    /// What was said of other numbers does not hold for these, and the other way round.
    @Test func widthsTakeEachOthersPlace() throws {
        let mixed = try Self.recipe("{bits: 3, group: 32, damping: 0.1}", "rules: [{match: '*.experts.*', bits: ternary}, {match: '*'}]").rules
        #expect(mixed[0].treatment.type == .ternary && mixed[0].treatment.group == -1 && mixed[0].treatment.damping == 0.1)
        #expect(mixed[1].treatment.type == nil && mixed[1].treatment.bits == 3 && mixed[1].treatment.group == 32)
        let other = try Self.recipe("{bits: ternary, grid: hessian}", "rules: [{match: '*.q_proj', bits: 4, group: 64}, {match: '*'}]").rules
        #expect(other[0].treatment.type == nil && other[0].treatment.bits == 4 && other[0].treatment.grid == .solved)
        #expect(other[1].treatment.type == .ternary && other[1].treatment.grid == .hessian)
    }

    @Test(arguments: [
        ("{bits: ternary, group: 64}", "`group: 64` contradicts"), ("{bits: ternary, symmetric: true}", "`symmetric` says nothing"),
        ("{bits: ternary, scales: signed}", "`scales` says nothing"), ("{bits: ternary, strategy: channel}", "`strategy: channel` contradicts"),
        ("{bits: ternary, grid: solved}", "`grid: solved`"), ("{bits: ternary, method: sparsegpt, sparsity: 0.5}", "`method: gptq` or rtn"),
        ("{bits: ternary, method: obq}", "`method: gptq` or rtn"), ("{bits: ternary, type: fp8}", "contradicts `type: fp8`"),
        ("{bits: 2, type: ternary}", "`bits: 2` contradicts"), ("{bits: ternary, act_order: groups}", "`act_order: groups`"),
        ("{bits: ternery}", "one of 2, 3, 4, 8, or ternary"),
    ])
    func contradictions(compress: String, words: String) {
        let error = #expect(throws: RecipeError.self) { try Self.recipe(compress) }
        #expect(error.map { "\($0)" }?.contains(words) == true, "\(error.map { "\($0)" } ?? "")")
    }
}
