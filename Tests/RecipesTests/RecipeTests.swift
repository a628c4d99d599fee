// Recipes as they are read: every key, every default, and what rules inherit.

import Compression
import Foundation
import Recipes
import Testing
import Transformers

/// The shortest recipe, with more keys.
func recipe(_ more: String = "", overrides: [String] = []) throws -> Recipe {
    try Recipe(yaml: "model: in\noutput: out\ncalibration: {source: a.txt}\n" + more, file: "r.yaml", overrides: overrides)
}

/// The error of a recipe, or nil.
func refusal(_ yaml: String, overrides: [String] = []) -> RecipeError? {
    do {
        _ = try Recipe(yaml: yaml, file: "r.yaml", overrides: overrides)
        return nil
    } catch {
        return error
    }
}

/// The root of the repository.
let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

@Suite struct RecipeTests {
    @Test func defaults() throws {
        let recipe = try recipe()
        #expect((recipe.model, recipe.output) == ("in", "out"))
        #expect(
            recipe.calibration
                == Calibration(sources: [CalibrationSource(path: "a.txt")], sequences: 128, length: 2048, skip: 0, sampling: nil, seed: 0, batch: nil))
        #expect(recipe.evaluation == nil && recipe.propagation == .stage && recipe.compute == .bf16 && recipe.ignore.isEmpty)
        #expect(recipe.format == .compressedTensors && recipe.maxShardSize == 5_000_000_000 && recipe.limits == DeviationLimits())
        #expect(recipe.memoryPerRank == nil && recipe.memoryPerHost == nil && recipe.weights == .mapped)
        #expect(recipe.experts == ExpertSettings(calibrate: .routed, starved: .blend, minimumTokens: nil))
        #expect(recipe.rules.count == 1 && recipe.rules[0].match.text == "*")
        #expect(
            recipe.rules[0].treatment
                == Treatment(
                    method: .gptq, bits: 4, group: 128, symmetric: true, scales: .signed, actOrder: .groups, staticGroups: false, grid: .solved, damping: 0.01,
                    maxDamping: 1))
    }

    @Test func equivalences() throws {
        #expect(try recipe().equivalence == nil && recipe("equalize: false").equivalence == nil)
        #expect(try recipe("equalize: true").equivalence == Equivalence(equalizes: true))
        let rotation = WeightRotation(block: .exactly(32))
        #expect(try recipe("equalize: true\nrotate: {block: 32}").equivalence == Equivalence(rotation: rotation, equalizes: true))
        #expect(refusal("model: in\noutput: out\ncalibration: {source: a.txt}\nequalize: 2")?.description.contains("`equalize`") == true)
    }

    @Test func rotations() throws {
        #expect(try recipe().equivalence == nil && recipe("rotate: false").equivalence == nil)
        #expect(try recipe("rotate: hadamard").equivalence?.rotation == WeightRotation(block: .atMost(128), heads: true))
        #expect(try recipe("rotate: hadamard\ncompress: {group: 64}").equivalence?.rotation == WeightRotation(block: .atMost(64), heads: true))
        #expect(try recipe("rotate: hadamard\ncompress: {group: -1}").equivalence?.rotation == WeightRotation(block: .atMost(.max), heads: true))
        #expect(try recipe("rotate: {heads: false}").equivalence?.rotation == WeightRotation(block: .atMost(128), heads: false))
        #expect(try recipe("rotate: {block: 32}").equivalence?.rotation == WeightRotation(block: .exactly(32), heads: true))
        for (value, message) in [("random", "must be hadamard"), ("[64]", "must be hadamard"), ("{block: 1}", "`rotate.block`"), ("{size: 64}", "rotate.size")]
        {
            let yaml = "model: in\noutput: out\ncalibration: {source: a.txt}\nrotate: \(value)"
            #expect(refusal(yaml)?.description.contains(message) == true, "\(value)")
        }
    }

    @Test func everyKey() throws {
        let recipe = try Recipe(
            yaml: """
                model: models/a
                output: out/a
                calibration:
                  source: ids.npy
                  sequences: 16
                  length: 512
                  skip: 4
                  sampling: consecutive
                  seed: 7
                  batch: 2
                evaluation:
                  source: b.txt
                  sequences: 3
                  length: 256
                  compute: bf16
                propagation: block
                compute: f32
                compress: {method: rtn, bits: 8, group: -1, symmetric: false, act_order: false, static_groups: false, grid: minmax, damping: 0.05, max_damping: 2}
                ignore: [lm_head, "re:.*gate.*"]
                format: dense
                max_shard_size: 512MiB
                memory_per_rank: 1.5 GiB
                memory_per_host: 8GiB
                weights: broadcast
                max_fallbacks: 3
                max_dead_columns: 0.25
                max_raised_dampings: 1
                max_clamped_scales: 0
                experts: {calibrate: all, starved: rtn, minimum_tokens: 12}
                """, file: "r.yaml")
        #expect((recipe.model, recipe.output) == ("models/a", "out/a"))
        #expect(
            recipe.calibration
                == Calibration(sources: [CalibrationSource(path: "ids.npy")], sequences: 16, length: 512, skip: 4, sampling: .consecutive, seed: 7, batch: 2))
        #expect(recipe.calibration?.tokens == 8192)
        #expect(recipe.evaluation == Evaluation(source: "b.txt", length: 256, sequences: 3, compute: .bf16))
        #expect(recipe.propagation == .block && recipe.compute == .f32 && recipe.format == .dense)
        #expect(recipe.limits == DeviationLimits(fallbacks: 3, deadColumns: 0.25, raisedDampings: 1, clampedScales: 0))
        #expect(recipe.experts == ExpertSettings(calibrate: .all, starved: .rtn, minimumTokens: 12))
        #expect(recipe.memoryPerRank == 3 << 29 && recipe.memoryPerHost == 8 << 30 && recipe.weights == .broadcast)
        #expect(recipe.maxShardSize == 512 << 20 && recipe.ignore.map(\.text) == ["lm_head", "re:.*gate.*"])
        #expect(
            recipe.rules[0].treatment
                == Treatment(
                    method: .rtn, bits: 8, group: -1, symmetric: false, actOrder: .off, staticGroups: false, grid: .minmax, damping: 0.05, maxDamping: 2))
    }

    /// What is left out becomes the best that goes with the rest.
    @Test(arguments: [
        ("{group: 64}", ActOrder.groups, false, Grid.solved), ("{group: -1}", .columns, false, .hessian),
        ("{static_groups: true}", .columns, true, .hessian), ("{act_order: true}", .columns, true, .hessian),
        ("{act_order: true, static_groups: false}", .columns, false, .solved), ("{act_order: false}", .off, false, .solved),
        ("{act_order: False}", .off, false, .solved), ("{method: rtn}", .off, false, .minmax), ("{grid: mse}", .groups, false, .mse),
    ])
    func defaultsFollowFromTheRest(compress: String, actOrder: ActOrder, staticGroups: Bool, grid: Grid) throws {
        let treatment = try recipe("compress: \(compress)\n").rules[0].treatment
        #expect((treatment.actOrder, treatment.staticGroups, treatment.grid) == (actOrder, staticGroups, grid))
    }

    @Test func rulesInheritWhatTheyLeaveOut() throws {
        let rules = try recipe("compress: {bits: 3, group: 64, damping: 2}\nrules:\n  - match: '*.down'\n    bits: 8\n  - match: '*'\n    method: rtn\n").rules
        #expect(rules.map(\.match.text) == ["*.down", "*"] && rules.map(\.line) == [6, 8])
        #expect(rules.map(\.treatment.bits) == [8, 3] && rules.allSatisfy { $0.treatment.group == 64 && $0.treatment.damping == 2 })
        #expect(rules.map(\.treatment.method) == [.gptq, .rtn])
        // A damping above the default bound raises the bound with it.
        #expect(rules.allSatisfy { $0.treatment.maxDamping == 2 })
    }

    /// Strengths are a rule's own or those of `compress`, and go with `target: dense` alone.
    @Test func strengthsOfDenseTargets() throws {
        let rules = try recipe(
            """
            compress: {target: dense, target_strength: 0.5, stream_strength: 0.25}
            rules: [{match: a}, {match: b, stream_strength: 1}, {match: c, stream_strength: 0}, {match: d, target: layer}]

            """
        ).rules
        #expect(rules.map(\.treatment.streamStrength) == [0.25, 1, nil, nil])
        #expect(rules.map(\.treatment.targetStrength) == [0.5, 0.5, 0.5, 1])
        #expect(try recipe("compress: {target: dense}").rules[0].treatment.streamStrength == nil)
        // Results of versions that had none are read as such.
        let treatment = rules[1].treatment, data = try JSONEncoder().encode(treatment)
        var object = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(object["streamStrength"] as? Double == 1)
        object["streamStrength"] = nil
        var earlier = treatment
        earlier.streamStrength = nil
        #expect(try JSONDecoder().decode(Treatment.self, from: JSONSerialization.data(withJSONObject: object)) == earlier)
    }

    /// Symmetric grids alone have signs.
    @Test func signsOfScales() throws {
        func signs(_ compress: String) throws -> [ScaleSigns] { try recipe("compress: \(compress)\n").rules.map(\.treatment.scales) }
        #expect(try signs("{}") == [.signed] && signs("{method: rtn, bits: 8}") == [.signed] && signs("{scales: positive}") == [.positive])
        #expect(try signs("{symmetric: false}") == [.positive] && signs("{scales: positive, symmetric: false}") == [.positive])
        let rules = try recipe("compress: {scales: positive}\nrules: [{match: a, scales: signed}, {match: b}]\n").rules
        #expect(rules.map(\.treatment.scales) == [.signed, .positive])
        #expect(rules.map { $0.treatment.options(scaleType: .bf16)?.signedScales } == [true, false])
        let refused = refusal("model: a\noutput: b\ncalibration: {source: c}\ncompress: {symmetric: false, scales: signed}\n")
        #expect(refused?.message.contains("`scales: signed` is of symmetric grids") == true)
    }

    /// Methods that prune do not quantize unless `bits` says so.
    @Test func sparsity() throws {
        func treatment(_ compress: String) throws -> Treatment { try recipe("compress: \(compress)\n").rules[0].treatment }
        let plain = try treatment("{method: sparsegpt, sparsity: 0.5}")
        #expect((plain.bits, plain.sparsity, plain.maskBlock, plain.actOrder) == (nil, .share(0.5), 128, .off))
        #expect(plain.content(type: .f16, scaleType: .bf16, leastZero: 0) == .values(.f16))
        #expect(plain.pruning == PruningOptions(sparsity: .share(0.5), scope: .blocks(of: 128)))
        let pattern = try treatment("{method: sparsegpt, sparsity: 2:4, bits: 4}")
        #expect((pattern.bits, pattern.sparsity, pattern.maskBlock) == (4, .pattern(pruned: 2, of: 4), nil))
        #expect((pattern.group, pattern.grid, pattern.actOrder) == (128, .solved, .off))
        let options = try #require(pattern.options(scaleType: .f16, leastZero: 1))
        #expect(pattern.content(type: .bf16, scaleType: .f16, leastZero: 1) == .codes(options))
        let rows = try treatment("{method: sparsegpt, sparsity: '4:8', bits: 4, group: -1}")
        #expect((rows.sparsity, rows.grid, rows.actOrder) == (.pattern(pruned: 4, of: 8), .hessian, .off))
        #expect(try treatment("{method: wanda, sparsity: 0.25}").pruning == PruningOptions(sparsity: .share(0.25), scope: .rows))
        #expect(try treatment("{method: magnitude, sparsity: 0.25, bits: 8}").pruning == PruningOptions(sparsity: .share(0.25), scope: .layer))
        #expect(try treatment("{method: magnitude, sparsity: 0.25, bits: 8}").grid == .minmax)
        #expect(try treatment("{method: sparsegpt, sparsity: 0.5, mask_block: 512}").maskBlock == 512)
        let admm = try treatment("{method: admm, sparsity: 0.5}")
        #expect((admm.bits, admm.maskBlock, admm.actOrder, admm.damping) == (nil, nil, .off, 0.1) && plain.damping == 0.01)
        #expect(admm.pruning == PruningOptions(sparsity: .share(0.5), scope: .layer, choices: ADMM.steps) && admm.method.needsHessian)
        #expect(try treatment("{method: admm, sparsity: 2:4, damping: 0.02}").damping == 0.02)
        let exactobs = try treatment("{method: exactobs, sparsity: 0.5}")
        #expect((exactobs.bits, exactobs.maskBlock, exactobs.actOrder, exactobs.damping) == (nil, nil, .off, 0.01) && exactobs.method.eliminates)
        #expect(exactobs.pruning == PruningOptions(sparsity: .share(0.5), scope: .layer) && exactobs.method.needsHessian)
        let blocks = try treatment("{method: exactobs, sparsity: 0.5, sparsity_block: 4}")
        #expect(blocks.pruning == PruningOptions(sparsity: .share(0.5), scope: .layer, blockColumns: 4) && blocks.summary == "exactobs 0.5 in blocks of 4")
        let others = try recipe("compress: {method: exactobs, sparsity: 0.5, sparsity_block: 4}\nrules:\n  - {match: a, method: wanda}\n  - {match: b}\n").rules
        #expect(others.map(\.treatment.sparsityBlock) == [nil, 4] && others.map(\.treatment.sparsity) == [.share(0.5), .share(0.5)])
        // Other methods keep theirs.
        #expect(try treatment("{}").pruning == nil)
        let mixed = try recipe("compress: {method: sparsegpt, sparsity: 0.5, mask_block: 64}\nrules:\n  - {match: a, method: gptq}\n  - {match: b}\n").rules
        #expect(mixed.map(\.treatment.sparsity) == [nil, .share(0.5)] && mixed.map(\.treatment.bits) == [4, nil] && mixed[1].treatment.maskBlock == 64)
        #expect(try Recipe(yaml: "model: a\noutput: b\ncompress: {method: magnitude, sparsity: 0.5}", file: "r").calibration == nil)
        #expect(try recipe("", overrides: ["compress.method=wanda", "compress.sparsity=2:4"]).rules[0].treatment.sparsity == .pattern(pruned: 2, of: 4))
        let json = String(decoding: try JSONEncoder().encode(plain), as: UTF8.self)
        #expect(json.contains(#""sparsity":"0.5""#) && !json.contains("bits"))
        #expect(try JSONDecoder().decode(Treatment.self, from: Data(json.utf8)) == plain)
    }

    /// Its grids are found before its first column, and the order is each row's own.
    @Test func optimalBrainQuantization() throws {
        func treatment(_ compress: String) throws -> Treatment { try recipe("compress: \(compress)\n").rules[0].treatment }
        let groups = try treatment("{method: obq}"), rows = try treatment("{method: obq, bits: 3, group: -1, act_order: false, grid: mse}")
        #expect((groups.bits, groups.group, groups.grid, groups.actOrder, groups.staticGroups) == (4, 128, .hessian, .off, true))
        #expect((rows.bits, rows.group, rows.grid, rows.staticGroups) == (3, -1, .mse, false) && rows.method.needsHessian && rows.pruning == nil)
        #expect(try treatment("{method: obq, static_groups: true}") == groups)
        let beside = try recipe("compress: {bits: 3}\nrules:\n  - {match: a, method: obq}\n  - {match: b}\n").rules.map(\.treatment)
        #expect(beside.map(\.staticGroups) == [true, false] && beside.map(\.grid) == [.hessian, .solved] && beside.map(\.bits) == [3, 3])
    }

    @Test(arguments: ["null", "~", "", "Null", "NULL"])
    func nullIsAsIfTheKeyWereMissing(null: String) throws {
        let recipe = try recipe("evaluation: \(null)\npropagation: \(null)\nmax_shard_size: \(null)\nrules: \(null)\n")
        #expect(recipe.evaluation == nil && recipe.propagation == .stage && recipe.maxShardSize == 5_000_000_000 && recipe.rules.count == 1)
    }

    @Test func sourcesAndTheirShares() throws {
        func calibration(_ source: String, _ settings: String = "") throws -> Calibration {
            try #require(try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: \(source)\(settings)}", file: "r").calibration)
        }
        #expect(try calibration("{path: a.parquet, field: content}").sources == [CalibrationSource(path: "a.parquet", field: "content")])
        let several = try calibration("[a.txt, {path: b.txt, weight: 2.5}, {path: c.npy, weight: 0.5}]", ", sequences: 10")
        #expect(several.sources.map(\.path) == ["a.txt", "b.txt", "c.npy"])
        #expect(several.sequencesOfSources == [3, 6, 1])
        #expect(several.sourceText == "a.txt (3), b.txt (6), c.npy (1)")
        // Equal remainders: the earlier source gets the sequence that is left.
        #expect(try calibration("[a, b, c]", ", sequences: 4").sequencesOfSources == [2, 1, 1])
        func message(_ source: String, _ settings: String = "") -> String {
            do { return "\(try calibration(source, settings))" } catch { return "\(error)" }
        }
        #expect(message("[]").contains("`calibration.source` is an empty list"))
        #expect(message("{file: a}").contains("unknown key `calibration.source.file`"))
        #expect(message("[a, {field: b}]").contains("key `calibration.source.1.path` is missing"))
        #expect(message("[a, {path: b, weight: 0}]").contains("`calibration.source.1.weight` must be a number from"))
        #expect(message("[[a]]").contains("`calibration.source.0` must be a path, or a mapping with `path`"))
        #expect(message("[a, {path: b, weight: 0.001}]").contains("b gets none of the 128 sequences by its weight 0.001"))
    }

    @Test func anEvaluationHasOneSource() throws {
        func evaluation(_ source: String) throws -> Evaluation? {
            try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: a}\nevaluation: {source: \(source)}", file: "r").evaluation
        }
        #expect(try evaluation("b.txt") == Evaluation(source: "b.txt", length: 2048, sequences: nil, compute: .f32))
        let field = Evaluation(source: "b.parquet", field: "page", length: 2048, sequences: nil, compute: .f32)
        #expect(try evaluation("{path: b.parquet, field: page}") == field)
        for source in ["[a, b]", "{path: a, weight: 2}", "{field: page}"] { #expect(throws: RecipeError.self) { try evaluation(source) } }
    }

    /// What is said of inputs, and what follows: `activation_type` alone means that they are rounded as they come.
    @Test(
        arguments: [
            ("", nil, nil, .none, .int), ("{activations: none}", nil, nil, .none, .int), ("{activation_type: fp8}", .dynamic, .fp8, .dynamic, .fp8),
            ("{activation_type: fp8, activations: dynamic, method: rtn}", .dynamic, .fp8, .dynamic, .fp8), ("{type: mxfp4}", nil, nil, .none, .mxfp4),
            ("{type: mxfp4, activations: dynamic}", .dynamic, nil, .dynamic, .mxfp4),
            ("{type: mxfp4, activation_type: mxfp4}", .dynamic, nil, .dynamic, .mxfp4),
            ("{type: mxfp4, activation_type: fp8}", .dynamic, .fp8, .dynamic, .fp8),
            ("{type: mxfp4, activation_type: mxfp8}", .dynamic, .mxfp8, .dynamic, .mxfp8),
            ("{type: fp8}", nil, nil, .dynamic, .fp8), ("{type: fp8, activation_type: fp8, activations: static}", .static, nil, .static, .fp8),
        ] as [(String, ActivationQuantization?, NumberType?, ActivationQuantization, NumberType)])
    func inputs(settings: String, activations: ActivationQuantization?, type: NumberType?, found: ActivationQuantization, numbers: NumberType) throws {
        let treatment = try recipe(settings.isEmpty ? "" : "compress: \(settings)").rules[0].treatment
        // Nothing where it goes without saying, so that plans of recipes without these keys have the hashes that they had.
        #expect(treatment.activations == activations && treatment.activationType == type)
        let options = try #require(treatment.options(scaleType: .bf16))
        #expect(options.activations == found && options.activationType == numbers)
    }

    @Test func roundingToNearestNeedsNoCalibration() throws {
        let plain = "model: a\noutput: b\n"
        #expect(try Recipe(yaml: plain + "compress: {method: rtn}", file: "r").calibration == nil)
        #expect(refusal(plain)?.message.contains("`calibration` is missing") == true)
        #expect(refusal(plain + "compress: {method: rtn}\nrules: [{match: '*', method: gptq}]")?.message.contains("`calibration` is missing") == true)
    }

    @Test func theCommandLineGivesModelAndOutput() throws {
        let recipe = try Recipe(yaml: "calibration: {source: a}", file: "r", model: "m", output: "o")
        #expect((recipe.model, recipe.output) == ("m", "o"))
        #expect(refusal("calibration: {source: a}\nmodel: m")?.description == "r.yaml:1: key `output` is missing")
        #expect(refusal("")?.message == "key `model` is missing")
    }

    @Test func theRepositorysRecipesAreValid() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: root + "/Configs").filter { $0.hasSuffix(".yaml") }
        #expect(!names.isEmpty)
        for name in names {
            let yaml = try String(contentsOfFile: root + "/Configs/" + name, encoding: .utf8)
            #expect(throws: Never.self, "\(name)") { try Recipe(yaml: yaml, file: name, model: "m", output: "o") }
        }
    }
}
