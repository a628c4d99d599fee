// Writing: the bytes on disk, the order of tensors, and that no failure leaves a file behind.

import Foundation
import Testing

import Safetensors

struct SafetensorsWriterTests {
    private func description(_ name: String, _ type: ElementType, _ shape: [Int]) throws -> TensorDescription {
        try TensorDescription(name: name, type: type, shape: shape)
    }

    @Test func exactBytes() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        let written = try writeSample(
            path, [("b", .u8, [3]), ("a\"", .f32, [1, 1])], metadata: ["z": "1", "f": "\u{1}/"])
        let header =
            #"{"__metadata__":{"f":"\u0001/","z":"1"},"a\"":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"#
            + #""b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}"#
        let padding = String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        let expected = fileBytes(header: header + padding) + [0, 1, 2, 3] + [0, 1, 2]
        #expect(try Array(Data(contentsOf: URL(fileURLWithPath: path))) == expected)
        #expect(written.byteCount == expected.count)
        #expect(written.checksum == expected.withUnsafeBytes { Checksum.of($0) })
        #expect(try Checksum.ofFile(path) == written.checksum)
        #expect(try directory.contents == ["a.safetensors"])
    }

    @Test func orderIsByAlignmentThenName() throws {
        let tensors = try [
            description("b", .f32, [1]), description("é", .f32, [1]), description("a", .f32, [1]),
            description("z", .i64, [1]), description("y", .bool, [1]), description("x", .bf16, [1]),
        ]
        #expect(SafetensorsLayout.order(tensors).map(\.name) == ["z", "a", "b", "é", "x", "y"])
    }

    @Test(arguments: [1, 3, 1000, 9 << 20])
    func chunksOfAnySize(chunk: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        // Above the buffer of 8 MiB only for large chunks, which keeps single bytes fast.
        let count = chunk < 1000 ? 5000 : 20 << 20
        let tensor = try description("w", .u8, [count])
        let writer = try SafetensorsWriter(path: path, tensors: [tensor, description("e", .u8, [0])])
        let bytes = sampleBytes(tensor, seed: 5)
        try bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: count, by: chunk) {
                try writer.append(UnsafeRawBufferPointer(rebasing: bytes[start..<min(count, start + chunk)]))
            }
        }
        let written = try writer.finish()
        let expected = bytes.withUnsafeBytes { Checksum.of($0) }
        #expect(try SafetensorsFile(path: path).withBytes(of: "w") { Checksum.of($0) } == expected)
        #expect(try Checksum.ofFile(path) == written.checksum)
    }

    @Test func noTensors() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        let written = try SafetensorsWriter(path: path, tensors: []).finish()
        #expect(written.byteCount == 16)
        #expect(try SafetensorsFile(path: path).entries.isEmpty)
    }

    @Test func misuseIsRefusedAndLeavesNoFile() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        let tensors = try [description("a", .u8, [4]), description("b", .u8, [4])]
        let misuses: [(SafetensorsWriter) throws -> Void] = [
            { try [UInt8](repeating: 0, count: 5).withUnsafeBytes($0.appendAny) },
            { writer in try [UInt8](repeating: 0, count: 4).withUnsafeBytes { try writer.append($0, to: "b") } },
            { writer in
                for _ in 0..<3 { try [UInt8](repeating: 0, count: 4).withUnsafeBytes(writer.appendAny) }
            },
            { _ = try $0.finish() },
        ]
        for misuse in misuses {
            let writer = try SafetensorsWriter(path: path, tensors: tensors)
            #expect(try directory.contents.count == 1)
            #expect(failure { try misuse(writer) }?.kind == .invalidRequest)
            #expect(try directory.contents.isEmpty)
            #expect(failure { try writer.finish() }?.kind == .invalidRequest)
        }
    }

    @Test func abandonedOrReleasedWriterLeavesNoFile() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        let writer = try SafetensorsWriter(path: path, tensors: [])
        writer.abandon()
        #expect(try directory.contents.isEmpty)
        _ = try SafetensorsWriter(path: path, tensors: [description("a", .u8, [4])])
        #expect(try directory.contents.isEmpty)
    }

    @Test func badDescriptions() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.safetensors")
        let a = try description("a", .u8, [1])
        #expect(failure { try SafetensorsWriter(path: path, tensors: [a, a]) }?.kind == .invalidRequest)
        let reserved = try description("__metadata__", .u8, [1])
        #expect(failure { try SafetensorsWriter(path: path, tensors: [reserved]) }?.kind == .invalidRequest)
        #expect(failure { try description("a", .u8, [-1]) }?.kind == .invalidRequest)
        #expect(failure { try description("a", .u8, [.max, 2]) }?.kind == .invalidRequest)
        #expect(failure { try description("a", .f4, [3]) }?.kind == .invalidRequest)
        let huge = try description("h", .u8, [.max / 8])
        let many = try (0..<9).map { try description("h\($0)", .u8, [.max / 8]) }
        #expect(failure { try SafetensorsWriter(path: path, tensors: many) }?.kind == .invalidRequest)
        let error = failure { try SafetensorsWriter(path: path, tensors: [huge]) }
        #expect(error?.kind == .diskFull)
        #expect(try directory.contents.isEmpty)
    }
}

extension SafetensorsWriter {
    fileprivate func appendAny(_ bytes: UnsafeRawBufferPointer) throws { try append(bytes) }
}
