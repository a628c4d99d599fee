// A recipe that cleave init writes fits its model, runs as it stands, and is read back whatever the paths hold.

import Foundation
import Testing

@Suite struct InitTests {
    @Test func theRecipeOfTheDemoRuns() throws {
        let directory = try TemporaryDirectory()
        let written = try CleaveProcess.run(["init", "Demo/wikillama", "--output", directory.path + "/out", "--calibration", "Demo/calibration.txt"])
        try #require(written.exitCode == 0, "\(written.errors)")
        // 704 columns: groups of 64. A model in 4 bits and a scale for 64 of them.
        #expect(written.output.contains("group: 64") && written.output.contains("4.25 bits") && written.output.contains("# rotate: hadamard"))
        #expect(written.output.contains("# equalize: true"))
        let recipe = directory.path + "/recipe.yaml"
        try Data(written.output.utf8).write(to: URL(fileURLWithPath: recipe))
        let run = try CleaveProcess.run(["compress", recipe, "--set", "calibration.sequences=4", "--set", "calibration.length=128"], ranks: 2)
        #expect(run.exitCode == 0 && run.output.contains("verified"), "\(run.errors)")
    }

    @Test(arguments: [("qwen2_moe", "*.experts.*"), ("gpt2", "ignore: [lm_head]"), ("gemma2", "ignore: [lm_head]")])
    func familiesHaveRecipes(family: String, part: String) throws {
        let model = try WideModel(columns: 256, family: family)
        let written = try CleaveProcess.run(["init", model.path + "/config.json", "--json"])
        try #require(written.exitCode == 0, "\(written.errors)")
        let recipe = try #require((JSONSerialization.jsonObject(with: Data(written.output.utf8)) as? [String: Any])?["recipe"] as? String)
        #expect(recipe.contains(part), "\(recipe)")
        // What may not be rotated is not said to be.
        #expect(recipe.contains("# rotate") == (family == "qwen2_moe"), "\(recipe)")
    }

    @Test func pathsAreQuoted() throws {
        let model = try WideModel(columns: 256)
        let written = try CleaveProcess.run(["init", model.path, "--output", "it's: #1", "--calibration", "a: #b.txt"])
        let path = model.path + "/recipe.yaml"
        try Data(written.output.utf8).write(to: URL(fileURLWithPath: path))
        let planned = try CleaveProcess.run(["plan", path, "--shape", model.path])
        #expect(planned.exitCode == 0, "\(planned.errors)")
        let missing = try CleaveProcess.run(["init", model.path + "/nowhere"])
        #expect(missing.exitCode == 66, "\(missing.errors)")
    }
}
