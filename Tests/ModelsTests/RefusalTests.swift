// Directories that are no model which can be read: each is refused, and it is said what they lack.

import Foundation
import Glibc
import MessagePassing
import Models
import Recipes
import Safetensors
import TestWorld
import Testing
import TinyModels

@Suite(.serialized) struct ModelRefusals {
    private func refusal(_ model: TinyModel) -> String { message { _ = try Model(path: model.model, reading: .mapped, world: TestWorld.world) } ?? "" }

    @Test func missingTensors() throws {
        let model = try TinyModel { $0.filter { $0.name != "model.layers.1.mlp.up_proj.weight" } }
        #expect(refusal(model).contains("tensor model.layers.1.mlp.up_proj.weight [96, 64] is missing"))
    }

    @Test func otherShapes() throws {
        let model = try TinyModel { try $0.map { $0.name == "model.norm.weight" ? try TensorDescription(name: $0.name, type: .bf16, shape: [65]) : $0 } }
        #expect(refusal(model).contains("tensor model.norm.weight has shape [65], config.json says [64]"))
    }

    @Test func otherTypes() throws {
        let model = try TinyModel { try $0.map { $0.name == "lm_head.weight" ? try TensorDescription(name: $0.name, type: .i16, shape: $0.shape) : $0 } }
        #expect(refusal(model).contains("tensor lm_head.weight is of type I16; F64, F32, F16 or BF16 is needed"))
    }

    @Test func foldersThatAreNoModel() throws {
        let model = try TinyModel()
        #expect(message { _ = try Model(path: "/nonexistent/a", reading: .mapped, world: TestWorld.world) } == "/nonexistent/a: no such model directory")
        #expect(message { _ = try Model(path: model.path + "/ids.npy", reading: .mapped, world: TestWorld.world) }?.contains("is a file") == true)
        #expect(message { _ = try Model(path: model.path, reading: .mapped, world: TestWorld.world) }?.contains("config.json is missing") == true)
    }

    /// What stands in the place of a model's files, and what is said of it.
    @Test(arguments: [
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "model.safetensors: This is a pointer of Git LFS"),
        ("config.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "config.json: This is a pointer of Git LFS"),
        ("model.safetensors", "<!DOCTYPE html><html></html>", "model.safetensors: This is a web page"),
        ("config.json", " <html>401", "config.json: This is a web page"),
        ("config.json", "\u{feff}{}", "config.json: The file begins with a byte order mark of UTF-8"), ("model.safetensors", "", "The file has 0 bytes"),
        ("model.safetensors", "PK\u{3}\u{4}abcdefgh", "This is a zip archive"),
    ])
    func filesThatAreSomethingElse(name: String, content: String, words: String) throws {
        let model = try TinyModel()
        try model.write(content, "model/" + name)
        #expect(refusal(model).contains(words), "\(refusal(model))")
    }

    /// A directory whose weights have another name or form.
    @Test(arguments: [
        ("pytorch_model.bin", "but pytorch_model.bin, weights in a format that Cleave does not read. Convert them"),
        ("model.gguf", "does not begin with \"GGUF\""),
        ("gptq_model-4bit-128g.safetensors", "but gptq_model-4bit-128g.safetensors, a name under which clients do not look for weights. Rename it"),
        ("adapter_model.safetensors", "an adapter (LoRA). Merge it"), ("notes.txt", "has neither model.safetensors nor model.safetensors.index.json."),
    ])
    func weightsUnderOtherNames(name: String, words: String) throws {
        let model = try TinyModel()
        try FileManager.default.moveItem(atPath: model.model + "/model.safetensors", toPath: model.model + "/" + name)
        #expect(refusal(model).contains(words), "\(refusal(model))")
        try FileManager.default.createSymbolicLink(atPath: model.model + "/model.safetensors", withDestinationPath: "../blobs/gone")
        #expect(refusal(model).contains("model.safetensors: This is a link to ../blobs/gone, which does not exist"), "\(refusal(model))")
    }

    /// Nobody writes to these pipes: whoever waited for one would do so for ever.
    @Test(arguments: ["model.safetensors", "config.json"])
    func pipesAreRefused(name: String) throws {
        let model = try TinyModel()
        try FileManager.default.removeItem(atPath: model.model + "/" + name)
        #expect(mkfifo(model.model + "/" + name, 0o600) == 0)
        #expect(refusal(model).contains("\(name): This is a pipe; a regular file is needed"), "\(refusal(model))")
    }
}
