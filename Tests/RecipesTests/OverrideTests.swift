// What `--set path=value` changes.

import Recipes
import Testing
import Transformers

@Suite struct OverrideTests {
    @Test func setsWhatIsThereAndWhatIsNot() throws {
        let recipe = try recipe(
            "compress: {bits: 4}\n", overrides: ["compress.bits=3", "evaluation.source=b.txt", "evaluation.length=64", "format=dense", "compress.bits=8"])
        #expect(recipe.rules[0].treatment.bits == 8)
        #expect(recipe.evaluation == Evaluation(source: "b.txt", length: 64, sequences: nil, compute: .f32))
        #expect(recipe.format == .dense)
    }

    @Test func reachesIntoLists() throws {
        let recipe = try recipe(
            "rules: [{match: a}, {match: b}]\nignore: [x, y]\n", overrides: ["rules.1.group=32", "rules.0.match=re:q.*", "ignore.1=z", "ignore.0='*'"])
        #expect(recipe.rules.map(\.treatment.group) == [128, 32] && recipe.rules.map(\.match.text) == ["re:q.*", "b"])
        #expect(recipe.ignore.map(\.text) == ["*", "z"])
    }

    @Test func valuesAreYAML() throws {
        let recipe = try recipe(overrides: ["ignore=[a, b]", "compress={bits: 3, symmetric: false}", "model='x=y'"])
        #expect(recipe.ignore.map(\.text) == ["a", "b"] && recipe.rules[0].treatment.bits == 3 && recipe.model == "x=y")
    }

    @Test func nullRemoves() throws {
        let recipe = try recipe("evaluation: {source: b}\ncompress: {bits: 3}\n", overrides: ["evaluation=null", "compress.bits="])
        #expect(recipe.evaluation == nil && recipe.rules[0].treatment.bits == 4)
    }

    /// Aliases of aliases double a value with every few letters; a path nests as deep as it is long.
    @Test func valuesAndPathsWithoutEndAreRefused() {
        let aliases = Array(repeating: "&a [*a, *a]", count: 60).joined(separator: ", ")
        #expect(refusal("", overrides: ["compress=[&a [1], \(aliases)]"])?.description.contains("may stand for too large a value") == true)
        #expect(refusal("? &a [1]\n: 1\n? [\(aliases)]\n: 2")?.description.contains("may stand for too large a value") == true)
        let path = String(repeating: "a.", count: 50_000)
        #expect(refusal("", overrides: ["\(path)a=1"])?.description.contains("no key of a recipe lies so deep") == true)
    }

    @Test(arguments: [
        ("bits", "expected path=value"), ("=3", "expected path=value"), ("rules.5.bits=3", "index 5 of a list of 1"), ("rules.x.bits=3", "cannot be set"),
        ("model.name=3", "cannot be set"), ("compress=[", "not valid YAML"), ("compress.bitz=3", "unknown key `compress.bitz`"),
        ("compress.bits=5", "one of 2, 3, 4, 8"), ("compress..bits=3", "unknown key"), ("rules.-1.bits=3", "index -1"),
    ])
    func saysWhatIsWrong(override: String, part: String) {
        let yaml = "model: a\noutput: b\ncalibration: {source: c}\nrules: [{match: x}]"
        let error = refusal(yaml, overrides: [override])
        #expect(error?.description.contains(part) == true, "\(error.map(\.description) ?? "no error")")
    }
}
