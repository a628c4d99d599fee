// Reading sound files: what was written comes back, whole or in part, by either access.

import Foundation
import Testing

import Safetensors

struct SafetensorsFileTests {
    static let tensors: [(name: String, type: ElementType, shape: [Int])] = [
        ("model.embed", .bf16, [6, 4]), ("scalar", .f32, []), ("empty", .i64, [3, 0]), ("mask", .bool, [5]),
        ("packed", .f4, [3, 2]), ("größe \"q\"\n", .f64, [2]), ("six", .f6e2m3, [4]),
    ]

    @Test(arguments: [Access.mapped, .pread])
    func roundTrip(access: Access) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        let metadata = ["format": "pt", "note": "line\nbreak \u{1} \\ /"]
        let written = try writeSample(path, Self.tensors, metadata: metadata)

        let file = try SafetensorsFile(path: path, access: access)
        #expect(file.metadata == metadata)
        #expect(file.byteCount == written.byteCount)
        #expect(file.tensors.count == Self.tensors.count)
        for tensor in Self.tensors {
            let entry = try #require(file.tensors[tensor.name])
            #expect(entry.description.type == tensor.type)
            #expect(entry.description.shape == tensor.shape)
            #expect(try file.bytes(of: tensor.name) == sampleBytes(entry.description))
            #expect(try file.withBytes(of: tensor.name) { Array($0) } == sampleBytes(entry.description))
            #expect(entry.bytes.lowerBound.isMultiple(of: max(1, tensor.type.bits / 8)))
        }
    }

    @Test(arguments: [Access.mapped, .pread])
    func someRows(access: Access) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        try writeSample(path, Self.tensors)
        let file = try SafetensorsFile(path: path, access: access)
        // Rows 2 and 3 of [6, 4] two-byte elements.
        let rows = 16..<32
        #expect(try file.bytes(of: "model.embed", range: rows) == (16..<32).map { UInt8($0) })
        #expect(try file.withBytes(of: "model.embed", bytes: rows) { Array($0) } == (16..<32).map { UInt8($0) })
        #expect(try file.bytes(of: "model.embed", range: 48..<48).isEmpty)
    }

    @Test func entriesFollowTheData() throws {
        let directory = try TemporaryDirectory()
        let header = #"""
            {"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}
            """#
        let path = try directory.write(fileBytes(header: header, dataCount: 3), as: "a.safetensors")
        let file = try SafetensorsFile(path: path)
        #expect(file.entries.map(\.name) == ["a", "b"])
        #expect(try file.bytes(of: "b") == [1, 2])
    }

    @Test func impossibleRequests() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        try writeSample(path, [("w", .f32, [2])])
        let file = try SafetensorsFile(path: path)
        #expect(failure { try file.bytes(of: "v") }?.kind == .unknownTensor)
        #expect(failure { try file.bytes(of: "w", range: 4..<9) }?.kind == .invalidRequest)
        #expect(failure { try file.bytes(of: "w", range: -1..<4) }?.kind == .invalidRequest)
        #expect(failure { try file.withBytes(of: "w", bytes: 0..<9) { $0.count } }?.kind == .invalidRequest)
        var tooSmall: [UInt8] = [0]
        let error = tooSmall.withUnsafeMutableBytes { buffer in failure { try file.read("w", into: buffer) } }
        #expect(error?.kind == .invalidRequest)
        #expect(error?.description.contains("\"w\"") == true)
    }

    @Test func missingFile() {
        #expect(failure { try SafetensorsFile(path: "/nonexistent/a.safetensors") }?.kind == .missing)
        #expect(failure { try SafetensorsFile(path: "/") }?.kind == .malformed)
    }

    @Test func shrunkenFileIsAnErrorByPread() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        try writeSample(path, [("w", .u8, [100])])
        let file = try SafetensorsFile(path: path, access: .pread)
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.truncate(atOffset: UInt64(file.byteCount - 10))
        #expect(failure { try file.bytes(of: "w") }?.kind == .notReadable)
        #expect(try file.bytes(of: "w", range: 0..<90).count == 90)
    }

    @Test(.enabled(if: Assets.model != nil, "CLEAVE_ASSETS has no models/wikillama"))
    func readsARealModel() throws {
        let path = try #require(Assets.model)
        let file = try SafetensorsFile(path: path)
        let sum = file.entries.reduce(0) { $0 + $1.description.byteCount }
        #expect(file.entries.first.map { $0.bytes.lowerBound + sum } == file.byteCount)
    }
}
