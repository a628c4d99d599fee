// Checkpoint directories: single files and shards, the rules of the index, and reading without touching headers again.

import Foundation
import Testing

import Safetensors

struct CheckpointTests {
    /// Two shards: a, b in the first, c in the second.
    private func shardedCheckpoint() throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try writeSample(
            directory.file("s1.safetensors"), [("a", .f32, [2]), ("b", .u8, [3])], metadata: ["format": "pt"])
        try writeSample(directory.file("s2.safetensors"), [("c", .i64, [2, 2])], seed: 50)
        try index(["a": "s1.safetensors", "b": "s1.safetensors", "c": "s2.safetensors"], in: directory)
        return directory
    }

    private func index(_ map: [String: String], in directory: TemporaryDirectory) throws {
        try ShardIndex(weightMap: map).write(to: directory.file(ShardIndex.fileName), totalByteCount: 43)
    }

    private func refusal(_ directory: TemporaryDirectory) throws -> SafetensorsError {
        try #require(failure { try CheckpointIndex(directory: directory.path) })
    }

    @Test(arguments: [Access.mapped, .pread])
    func readsOverShardsFromATransportedIndex(access: Access) throws {
        let directory = try shardedCheckpoint()
        let made = try CheckpointIndex(directory: directory.path)
        let index = try CheckpointIndex(encoded: made.encoded())
        #expect(index == made)
        #expect(index.totalByteCount == 43)
        #expect(index.files.map(\.name) == ["s1.safetensors", "s2.safetensors"])
        #expect(index.files[0].metadata == ["format": "pt"])

        let checkpoint = Checkpoint(index: index, access: access)
        #expect(checkpoint.names == ["a", "b", "c"])
        #expect(checkpoint.description("c")?.shape == [2, 2])
        #expect(checkpoint.description("d") == nil)
        #expect(try checkpoint.withBytes(of: "b") { Array($0) } == [0, 1, 2])
        #expect(try checkpoint.withBytes(of: "c", bytes: 16..<18) { Array($0) } == [66, 67])
        var row = [UInt8](repeating: 0, count: 16)
        try row.withUnsafeMutableBytes { try checkpoint.read("c", bytes: 16..<32, into: $0) }
        #expect(row == (66..<82).map { UInt8($0) })
        #expect(checkpoint.bytesRead == 3 + 2 + 16)
        #expect(failure { try checkpoint.withBytes(of: "d") { $0.count } }?.kind == .unknownTensor)
    }

    @Test func singleFile() throws {
        let directory = try TemporaryDirectory()
        try writeSample(directory.file("model.safetensors"), [("a", .f32, [2])])
        let index = try CheckpointIndex(directory: directory.path)
        #expect(index.files.map(\.name) == ["model.safetensors"])
        #expect(index.tensors.keys.sorted() == ["a"])
    }

    @Test func missingDirectoryAndMissingFiles() throws {
        #expect(failure { try CheckpointIndex(directory: "/nonexistent") }?.kind == .missing)
        #expect(try refusal(TemporaryDirectory()).kind == .missing)
        let directory = try shardedCheckpoint()
        try FileManager.default.removeItem(atPath: directory.file("s2.safetensors"))
        let error = try refusal(directory)
        #expect(error.kind == .missing)
        #expect(error.description.contains("s2.safetensors"))
    }

    /// transformers reads what the files hold, whatever the index says of it.
    @Test(arguments: [
        (
            ["a": "s1.safetensors", "b": "s1.safetensors", "c": "s2.safetensors", "d": "s2.safetensors"],
            "lists tensors that are in none of its files (1): d"
        ),
        (["a": "s1.safetensors", "c": "s2.safetensors"], "does not list tensors of its files, which are taken all the same (1): b"),
        (["a": "s1.safetensors", "b": "s2.safetensors", "c": "s2.safetensors"], "lists tensors that are in another of its files, where they are read (1): b"),
    ])
    func whatTheIndexSaysOtherwiseIsARemark(map: [String: String], remark: String) throws {
        let directory = try shardedCheckpoint()
        #expect(try CheckpointIndex(directory: directory.path).remarks.isEmpty)
        try index(map, in: directory)
        let found = try CheckpointIndex(directory: directory.path)
        #expect(found.remarks.count == 1 && found.remarks[0].contains(remark), "\(found.remarks)")
        #expect(found.tensors.keys.sorted() == ["a", "b", "c"])
        #expect(found.tensors["b"].map { found.files[$0.file].name } == "s1.safetensors")
        #expect(try CheckpointIndex(encoded: found.encoded()) == found)
    }

    /// The last file counts, as for transformers.
    @Test func tensorInTwoShards() throws {
        let directory = try shardedCheckpoint()
        try writeSample(directory.file("s2.safetensors"), [("c", .i64, [2, 2]), ("a", .f32, [2])])
        let found = try CheckpointIndex(directory: directory.path)
        #expect(found.tensors["a"].map { found.files[$0.file].name } == "s2.safetensors")
        #expect(found.remarks == ["model.safetensors.index.json has files with the same tensor, of which the last is read (1): a"])
    }

    @Test func truncatedShard() throws {
        let directory = try shardedCheckpoint()
        let handle = try #require(FileHandle(forUpdatingAtPath: directory.file("s2.safetensors")))
        try handle.truncate(atOffset: 100)
        #expect(try refusal(directory).path == directory.file("s2.safetensors"))
    }

    @Test(arguments: [
        ("{", "byte 1"), ("{}", "no weight_map"), (#"{"weight_map":{}}"#, "no weight_map"),
        (#"{"weight_map":{"a":1}}"#, "a string"), (#"{"weight_map":{"a":"x","a":"x"}}"#, "duplicate key"),
        (#"{"weight_map":{"a":"../x"}}"#, "beside the index"), (#"{"weight_map":{"a":".."}}"#, "beside the index"),
        (#"{"weight_map":{"a":"../\u0301x"}}"#, "beside the index"), (#"{"weight_map":{"a":"x\u0000y"}}"#, "beside the index"),
    ])
    func invalidIndex(text: String, reason: String) throws {
        let directory = try TemporaryDirectory()
        _ = try directory.write(Array(text.utf8), as: ShardIndex.fileName)
        let error = try refusal(directory)
        #expect(error.kind == .malformed)
        #expect(error.reason.contains(reason), "\(error)")
    }

    @Test func fileThatChangedSince() throws {
        let directory = try shardedCheckpoint()
        let checkpoint = Checkpoint(index: try CheckpointIndex(directory: directory.path))
        try writeSample(directory.file("s1.safetensors"), [("a", .f32, [20])])
        #expect(failure { try checkpoint.withBytes(of: "a") { $0.count } }?.kind == .malformed)
    }

    @Test(arguments: [
        "", "{}",
        #"{"directory":"d","files":[],"tensors":[{"name":"a","file":0,"type":"U8","shape":[1],"start":0}]}"#,
        #"{"directory":"d","files":[{"name":"f","byteCount":9,"metadata":{}}],"#
            + #""tensors":[{"name":"a","file":0,"type":"U8","shape":[2],"start":8}]}"#,
        #"{"directory":"d","files":[{"name":"f","byteCount":-9223372036854775808,"metadata":{}}],"#
            + #""tensors":[{"name":"a","file":0,"type":"U8","shape":[2],"start":8}]}"#,
    ])
    func brokenTransport(text: String) {
        #expect(failure { try CheckpointIndex(encoded: Array(text.utf8)) }?.kind == .malformed)
    }

    @Test func shardIndexRoundTrip() throws {
        let directory = try TemporaryDirectory()
        let index = ShardIndex(weightMap: ["b\"": ShardIndex.shardName(2, of: 3), "a": ShardIndex.shardName(1, of: 3)])
        let path = directory.file(ShardIndex.fileName)
        try index.write(to: path, totalByteCount: 12)
        #expect(try ShardIndex(path: path) == index)
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
        let map = (object as? [String: Any])?["weight_map"] as? [String: String]
        #expect(map == ["a": "model-00001-of-00003.safetensors", "b\"": "model-00002-of-00003.safetensors"])
    }
}
