// The output directory: what is there already stays, what Cleave made is found again, and places that belong to others are refused.

import Checkpoints
import Foundation
import Recipes
import Runs
import Safetensors
import TestWorld
import Testing
import TinyModels

extension RunsTests {
    @Suite(.serialized) struct Outputs {
        /// Whatever lies there at the start: nothing is touched, and it is named.
        @Test(arguments: [
            "adapter_model.safetensors", "model-00001-of-00002.safetensors", "README.md", "tokenizer.json", "model.safetensors.tmp-12", "sub/file",
        ])
        func foreignFilesAreNamedAndStay(name: String) throws {
            let model = try TinyModel()
            try FileManager.default.createDirectory(atPath: model.output + "/sub", withIntermediateDirectories: true)
            if !name.contains("/") { try FileManager.default.removeItem(atPath: model.output + "/sub") }
            try model.write("mine", "out/" + name)
            let refusal = message { try model.compress() }
            let first = try #require(name.split(separator: "/").first)
            #expect(refusal?.contains("holds what Cleave did not make: \(first)") == true, "\(refusal ?? "none")")
            #expect(try model.read("out/" + name) == Array("mine".utf8))
            #expect(try model.names("out") == [String(first)])
            // Converting is as careful.
            try FileManager.default.moveItem(atPath: model.output, toPath: model.path + "/kept")
            try model.finish()
            let conversion = message {
                _ = try Conversion(model.output, to: .gptq, output: model.path + "/kept", reading: .mapped, world: TestWorld.world).run()
            }
            #expect(conversion?.contains("holds what Cleave did not make: \(first)") == true, "\(conversion ?? "none")")
            #expect(try model.names("kept") == [String(first)])
        }

        /// The folder of work may hold what others put there: a wish to stop, a scheduler's logs.
        @Test func theFolderOfWorkIsShared() throws {
            let model = try TinyModel()
            try FileManager.default.createDirectory(atPath: model.output + "/cleave/partial", withIntermediateDirectories: true)
            for name in ["slurm-1.out", "partial/notes.txt", "partial/block-x.safetensors"] { try model.write("mine", "out/cleave/" + name) }
            try model.finish()
            let job = try model.job()
            _ = try job.enter()
            job.removePartialCheckpoints()
            for name in ["slurm-1.out", "partial/notes.txt", "partial/block-x.safetensors"] {
                #expect(try model.read("out/cleave/" + name) == Array("mine".utf8))
            }
            #expect(!model.exists("out/cleave/journal"))
            #expect(try model.names("out/cleave/partial") == ["block-x.safetensors", "notes.txt"])
        }

        /// A merge that was cut off has left shards: they are Cleave's, and the next one makes them anew, with others' times of cut gone.
        @Test func aMergeGoesOnOverItsOwnFiles() throws {
            let (model, undisturbed) = (try TinyModel(), try TinyModel())
            try undisturbed.finish(["max_shard_size=20000"])
            try model.finish(["max_shard_size=20000"])
            let shards = try model.names("out").filter { $0.hasSuffix(".safetensors") }
            for name in ["config.json", "cleave_manifest.json", shards[1]] { try FileManager.default.removeItem(atPath: model.output + "/" + name) }
            try model.write("half", "out/" + shards[0])
            try model.write("half", "out/" + shards[1] + ".tmp-7")
            try model.merge(["max_shard_size=20000"])
            #expect(try model.names("out") == undisturbed.names("out"))
            for name in shards { #expect(try model.read("out/" + name) == undisturbed.read("out/" + name)) }
        }

        /// A file of the result's name that came while the run was at work is somebody's.
        @Test func filesThatComeLaterStay() throws {
            let model = try TinyModel()
            try model.compress()
            do {
                let job = try model.job()
                _ = try job.enter()
                try model.write("mine", "out/model.safetensors")
                #expect(message { _ = try job.merge() }?.contains("out/model.safetensors was put there while the run was at work") == true)
            }
            #expect(try model.read("out/model.safetensors") == Array("mine".utf8))
            #expect(message { try model.merge() }?.contains("holds what Cleave did not make: model.safetensors") == true)
            try FileManager.default.removeItem(atPath: model.output + "/model.safetensors")
            try model.merge()
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        @Test func placesOfOthersAreRefused() throws {
            let model = try TinyModel()
            try FileManager.default.createSymbolicLink(atPath: model.path + "/link", withDestinationPath: "model")
            try FileManager.default.createSymbolicLink(atPath: model.path + "/nowhere", withDestinationPath: "no/such/place")
            for (output, words) in [
                ("/", "root of the file system"), ("/../", "root of the file system"), (model.model, "the model's own"),
                (model.path + "/link/", "the model's own"),
                (model.path + "/link/new/out", "lies inside the model's"), (model.path + "/a/../model/b", "lies inside the model's"),
                (model.path, "holds the model"),
                (model.path + "/nowhere", "a link to no/such/place, which does not exist"), (model.path + "/ids.npy", "is a file"), ("\"\"", "has no name"),
            ] {
                let refusal = message { _ = try model.job(["output=\(output)"]) }
                #expect(refusal?.contains(words) == true, "\(output): \(refusal ?? "none")")
            }
        }

        /// What clients may read in place of what the manifest names.
        @Test func verificationNamesOtherFilesOfWeights() throws {
            let model = try TinyModel()
            try model.finish()
            try FileManager.default.copyItem(atPath: model.output + "/model.safetensors", toPath: model.output + "/consolidated.safetensors")
            #expect(
                try verify(model.output, world: TestWorld.world).problems.first?.contains("consolidated.safetensors is not in the manifest and holds") == true)
            try model.write("junk", "out/consolidated.safetensors")
            #expect(try verify(model.output, world: TestWorld.world).problems.first?.contains("cannot be read") == true)
            let writer = try SafetensorsWriter(
                path: model.output + "/consolidated.safetensors", tensors: [TensorDescription(name: "other", type: .u8, shape: [1])])
            try [UInt8(1)].withUnsafeBytes { try writer.append($0, to: "other") }
            _ = try writer.finish()
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }
    }
}
