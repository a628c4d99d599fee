// Budgets of bits in recipes.

import Compression
import Recipes
import Testing

private func recipe(_ bits: String, _ more: String = "") throws -> Recipe {
    try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: c}\ncompress: {bits: \(bits), group: 64}\n" + more, file: "r.yaml")
}

@Suite struct BudgetTests {
    @Test func aBudgetHasChoices() throws {
        let found = try recipe("{average: 3.25}")
        #expect(found.budget?.limit == .bits(3.25) && found.budget?.losses == nil)
        #expect(found.rules.count == 1 && found.rules[0].choices.map(\.bits) == [2, 3, 4, 8] && found.rules[0].choices.allSatisfy { $0.group == 64 })
        #expect(found.rules[0].treatment == found.rules[0].choices[1])
        let size = try recipe("{size: 20GB, choices: [4, 2], losses: t.json}")
        #expect(size.budget?.limit == .size(20_000_000_000) && size.budget?.losses == "t.json" && size.rules[0].choices.map(\.bits) == [2, 4])
        #expect(try recipe("3").budget == nil && recipe("3").rules[0].choices.isEmpty)
    }

    /// Those that take the least room first: a scale of 16 bits for each group.
    @Test func groupsAreChoicesToo() throws {
        let found = try Recipe(
            yaml: "model: a\noutput: b\ncalibration: {source: c}\ncompress: {bits: {average: 3, choices: [3, 4], groups: [128, 16]}}", file: "r.yaml")
        #expect(found.rules[0].choices.map { [$0.bits ?? 0, $0.group] } == [[3, 128], [3, 16], [4, 128], [4, 16]])
    }

    @Test func rulesMayGiveBitsAndGroup() throws {
        let rules = try recipe(
            "{average: 3, choices: [3, 4]}", "rules: [{match: a, bits: 8}, {match: b, group: 32}, {match: c, bits: 4, method: rtn}, {match: d}]"
        ).rules
        #expect(rules.map { $0.choices.count } == [0, 2, 0, 2])
        #expect(rules[1].choices.allSatisfy { $0.group == 32 } && rules[0].treatment.bits == 8)
    }

    /// The largest share takes the least room.
    @Test func sharesOfZerosAreChoices() throws {
        func recipe(_ sparsity: String, _ more: String = "", method: String = "sparsegpt") throws -> Recipe {
            try Recipe(
                yaml: "model: a\noutput: b\ncalibration: {source: c}\ncompress: {method: \(method), sparsity: \(sparsity)}\n" + more, file: "r.yaml")
        }
        let found = try recipe("{average: 0.5}")
        #expect(found.budget?.limit == .sparsity(0.5))
        #expect(found.rules[0].choices.map(\.sparsity) == (1...9).reversed().map { .share(Double($0) / 10) })
        #expect(found.rules[0].treatment.sparsity == .share(0.5))
        let rules = try recipe(
            "{average: 0.6, choices: [0.7, 0.5, 0.6], losses: t.json}",
            "rules: [{match: a, sparsity: 0.3}, {match: b, bits: 4}, {match: c, method: gptq}, {match: d, method: admm}, {match: e}]"
        ).rules
        #expect(rules.map { $0.choices.count } == [0, 3, 0, 3, 3])
        #expect(rules[1].choices.allSatisfy { $0.bits == 4 } && rules[2].treatment.sparsity == nil && rules[3].choices.allSatisfy { $0.method == .admm })
        for (sparsity, more, message) in [
            ("{}", "", "`compress.sparsity` needs `average`"), ("{average: 1}", "", "must be a share above 0 and below 1"),
            ("{average: 0.5, choices: [0.5]}", "", "from 2 to 12 choices"), ("{average: 0.5, choices: [0.5, 0.5]}", "", "different shares"),
            ("{average: 0.95}", "", "is 0.95, above the largest of its choices, 0.9"), ("{average: 0.5, choices: [0, 0.5]}", "", "different shares"),
            ("{average: 0.5, size: 1GB}", "", "nearest valid key"),
            ("{average: 0.5}", "rules: [{match: a, method: magnitude}]", "not with `magnitude`"),
            ("{average: 0.5}", "rules: [{match: '*', sparsity: '2:4'}]", "every rule has `sparsity` of its own"),
        ] {
            let error = try #require(throws: RecipeError.self) { try recipe(sparsity, more) }
            #expect("\(error)".contains(message), "\(error)")
        }
        let both = #expect(throws: RecipeError.self) { try recipe("{average: 0.5}, bits: {average: 3}") }
        #expect("\(String(describing: both))".contains("a run spends one"))
    }

    @Test(
        arguments: [
            ("{}", "", "`compress.bits` needs `average`"), ("{average: 3, size: 1GB}", "", "`compress.bits` needs `average`"),
            ("{average: 1}", "", "`compress.bits.average` must be a number from 2.0 to 16.0"), ("{average: 3, choices: [4]}", "", "from 2 to 12 choices"),
            ("{average: 2.5, choices: [3, 4]}", "", "is 2.5, below the smallest of its choices, 3 bits"),
            ("{average: 3, choices: [3, 3]}", "", "must be a list of different numbers of 2, 3, 4, 8"),
            ("{average: 3, choices: [5, 3]}", "", "must be a list of different numbers"),
            ("{average: 3, choice: [3, 4]}", "", "nearest valid key is `choices`"),
            ("{average: 3, groups: [64]}", "", "leave one out"), ("{average: 3}", "rules: [{match: a, method: rtn}]", "goes with `method: gptq` alone"),
            ("{average: 3}", "rules: [{match: '*', bits: 4}]", "every rule has `bits` of its own"),
            ("{size: 1GB}", "format: dense", "no meaning with `format: dense`"),
            ("3", "rules: [{match: a, bits: {average: 3}}]", "`rules.0.bits` must be one of"),
        ])
    func refusals(bits: String, more: String, message: String) throws {
        let error = try #require(throws: RecipeError.self) { try recipe(bits, more) }
        #expect("\(error)".contains(message), "\(error)")
    }
}
