// What a run was made from: any change between two attempts is refused, and named.

import Calibration
import Checkpoints
import Foundation
import MessagePassing
import Models
import Recipes
import Reporting
import Runs
import Safetensors
import TestWorld
import Testing
import Texts
import TinyModels
import Transformers

extension RunsTests {
    @Suite(.serialized) struct Changes {
        /// A setting that is changed between two attempts, and what the refusal says of it.
        @Test(arguments: [
            ("compress.bits=8", "bits was 4, is 8 for model.layers.0.mlp.down_proj and 13 more linears"),
            ("propagation=block", "propagation: was stage, is block"),
            ("calibration.sequences=7", "calibration: token ids (source, tokenizer, sampling): was"),
            ("ignore=[\"*.q_proj\"]", "method was gptq, is kept for model.layers.0.self_attn.q_proj and 1 more linears"),
            ("format=dense", "format: was compressed-tensors, is dense"),
        ])
        func recipe(setting: String, words: String) throws {
            let model = try TinyModel()
            try model.compress()
            let refusal = message { try model.compress([setting]) }
            #expect(refusal?.contains("unfinished run of another plan or source") == true && refusal?.contains(words) == true, "\(refusal ?? "none")")
            // The run itself is untouched.
            #expect(try model.compress().tiles.solved == 0)
        }

        /// Settings are told once for all linears that share them, so that the record of a large model stays small.
        @Test func recordNamesEachLinearOnce() throws {
            let model = try TinyModel()
            try model.compress()
            let record = String(decoding: try model.read("out/cleave/run.json"), as: UTF8.self)
            #expect(record.components(separatedBy: "model.layers.0.mlp.down_proj").count == 2)
        }

        /// A run of another version is refused by its version alone, whatever its record is made of.
        @Test func recordOfAnEarlierVersion() throws {
            let model = try TinyModel()
            try model.compress()
            let work = WorkDirectory(output: model.output)
            var record = try #require(RunRecord.read(work))
            let parts = #"{"parts": {"version of Cleave": "0.1.0", "model.layers.0.mlp.down_proj: bits": "8"}}"#
            record.plan = try JSONDecoder().decode(PlanIdentity.self, from: Data(parts.utf8))
            try record.save(work)
            let refusal = message { try model.compress(["compress.bits=8"]) }
            #expect(
                refusal?.contains("version of Cleave: was 0.1.0, is \(cleaveVersion)") == true && refusal?.contains("bits") == false, "\(refusal ?? "none")")
        }

        @Test(arguments: ["model/model.safetensors", "model/config.json", "model/tokenizer.json"])
        func source(file: String) throws {
            let model = try TinyModel()
            try model.write("{}", "model/tokenizer.json")
            try model.compress()
            try change(model, file)
            let refusal = message { try model.compress() }
            let name = file.dropFirst("model/".count)
            #expect(refusal?.contains("another plan or source") == true && refusal?.contains(name) == true, "\(refusal ?? "none")")
            try change(model, file)
            #expect(try model.compress().tiles.solved == 0)
        }

        @Test func sourceOfAFinishedCheckpoint() throws {
            let model = try TinyModel()
            try model.finish()
            try change(model, "model/model.safetensors")
            #expect(message { _ = try model.job().enter() }?.contains("a source that has changed since:\n  model.safetensors has other bytes") == true)
        }

        /// A byte near the end: a weight, or the end of a JSON text, where an added blank changes nothing that is read.
        private func change(_ model: TinyModel, _ file: String) throws {
            guard file.hasSuffix(".json") else { return try model.flip(file, at: -3) }
            let text = String(decoding: try model.read(file), as: UTF8.self)
            try model.write(text.hasSuffix(" ") ? String(text.dropLast()) : text + " ", file)
        }

        @Test func newTimesOfTheSameBytesAreNoChange() throws {
            let model = try TinyModel()
            try model.compress()
            let bytes = Data(try model.read("model/model.safetensors"))
            try bytes.write(to: URL(fileURLWithPath: model.model + "/model.safetensors"))
            #expect(try model.compress().tiles.solved == 0)
        }

        /// Times that are set back do not hide a change: the file system's own time of change stays.
        @Test func timesThatWereSetBackHideNothing() throws {
            let model = try TinyModel()
            try model.compress()
            let path = model.model + "/model.safetensors"
            let before = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
            try model.flip("model/model.safetensors", at: -3)
            try FileManager.default.setAttributes([.modificationDate: try #require(before)], ofItemAtPath: path)
            #expect(message { try model.compress() }?.contains("model.safetensors has other bytes") == true)
        }

        /// A file that is rewritten in place while a run has it open gives mixed weights: nothing of that is committed, and no result is called sound.
        @Test func aChangeDuringTheRunIsFound() throws {
            let model = try TinyModel()
            do {
                let job = try model.job()
                _ = try job.enter()
                try model.flip("model/model.safetensors", at: -3)
                let stop = StopConditions(world: TestWorld.world, start: .now, maxHours: nil, file: job.work.stopFile)
                let refusal = message { _ = try job.compress(stop: stop, scratch: nil) { _ in } }
                #expect(refusal?.contains("model.safetensors: The file was changed while it was in use") == true, "\(refusal ?? "none")")
            }
            #expect(try model.names("out/cleave/journal").isEmpty)
            // As it was, nothing is missing.
            try model.flip("model/model.safetensors", at: -3)
            #expect(try model.compress().tiles.reused == 0)
        }

        @Test(arguments: ["model.safetensors", "tokenizer.json", "config.json"])
        func aChangeBeforeTheMergeIsFound(file: String) throws {
            let model = try TinyModel()
            try model.write("{}", "model/tokenizer.json")
            try model.compress()
            do {
                let job = try model.job()
                _ = try job.enter()
                try change(model, "model/" + file)
                let refusal = message { _ = try job.merge() }
                #expect(refusal?.contains("\(file): The file was changed while it was in use") == true, "\(refusal ?? "none")")
            }
            #expect(!model.exists("out/config.json"))
            try change(model, "model/" + file)
            try model.merge()
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        @Test func aChangeDuringAnEvaluationIsFound() throws {
            let model = try TinyModel()
            let opened = try Model(path: model.model, reading: .mapped, world: TestWorld.world)
            let tokens = try TokenSequences.windows(source: model.path + "/ids.npy", length: 32, count: 1, tokenizer: "", vocabularySize: 50)
            try model.flip("model/model.safetensors", at: -3)
            let refusal = message { _ = try evaluate(opened, tokens, compute: .f32, world: TestWorld.world, clock: PhaseClock()) }
            #expect(refusal?.contains("The file was changed while it was in use") == true, "\(refusal ?? "none")")
        }

        /// Without its record a run can still tell that something changed, from the journals.
        @Test(arguments: [true, false])
        func damagedRecord(flipped: Bool) throws {
            let model = try TinyModel()
            try model.compress()
            if flipped { try model.flip("out/cleave/run.json", at: 200) } else { try FileManager.default.removeItem(atPath: model.output + "/cleave/run.json") }
            #expect(message { try model.compress(["compress.bits=8"]) }?.contains("run.json is missing or damaged") == true)
            let run = try model.compress()
            #expect(run.tiles.solved == 0 && run.remarks.contains { $0.contains("run.json was damaged") } == flipped)
            #expect(message { try model.compress(["compress.bits=8"]) }?.contains("bits was 4, is 8") == true)
        }

        /// As if the first attempt had run on another CPU: the record says so, and the next attempt says it to the user.
        @Test func anotherProcessorIsRemarked() throws {
            let model = try TinyModel()
            #expect(try model.compress().remarks.isEmpty)
            var object = try #require(JSONSerialization.jsonObject(with: Data(model.read("out/cleave/run.json"))) as? [String: Any])
            (object["seal"], object["platforms"]) = (nil, ["some other processor"])
            let text = String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
            try model.write(#"{"seal":"\#(Array(text.utf8).withUnsafeBytes { Checksum.of($0) })",\#(text.dropFirst())"#, "out/cleave/run.json")
            for _ in 0..<2 {
                let run = try model.compress()
                #expect(run.tiles.solved == 0 && run.remarks.contains { $0.contains("more than one kind") && $0.contains("some other processor") })
            }
        }

        @Test func damagedManifestIsMergedAgainWhileItsTilesAreThere() throws {
            let model = try TinyModel()
            try model.finish()
            let sound = try model.read("out/cleave_manifest.json")
            try model.flip("out/cleave_manifest.json", at: 100)
            #expect(try model.compress().tiles.solved == 0)
            try model.merge()
            #expect(try model.read("out/cleave_manifest.json") == sound)
            // Without tiles there is nothing to merge, and the directory is left alone.
            try FileManager.default.removeItem(atPath: model.output + "/cleave/journal")
            try model.flip("out/cleave_manifest.json", at: 100)
            #expect(message { try model.compress() }?.contains("cleave_manifest.json is damaged") == true)
            #expect(model.exists("out/config.json"))
        }

        @Test func scratchGivesTheSameBytesAndLeavesNothing() throws {
            for propagation in ["stage", "block"] {
                let (model, undisturbed) = (try TinyModel(), try TinyModel())
                let settings = ["propagation=\(propagation)", "calibration.batch=3", "compute=bf16"]
                try undisturbed.finish(settings)
                try model.compress(settings, scratch: model.path)
                try model.merge(settings)
                #expect(try model.read("out/model.safetensors") == undisturbed.read("out/model.safetensors"))
                #expect(try model.names(".").allSatisfy { !$0.contains("scratch") })
            }
        }

        @Test func aMissingScratchDirectoryIsAnError() throws {
            let model = try TinyModel()
            #expect(message { try model.compress(scratch: "/no/such/place") }?.contains("/no/such/place: Cannot create a scratch file") == true)
        }
    }
}
