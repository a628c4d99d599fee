// Small files, the protocol of temporary names, and checksums against published values.

import Foundation
import Testing

import Safetensors

struct AtomicFileTests {
    @Test func replacesAFile() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("journal.json")
        try AtomicFile.write("old and longer", to: path)
        let written = try AtomicFile.write("new", to: path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "new")
        #expect(written == WrittenFile(path: path, byteCount: 3, checksum: try Checksum.ofFile(path)))
        #expect(try directory.contents == ["journal.json"])
    }

    @Test func failureAtTheRenameLeavesNothing() throws {
        let directory = try TemporaryDirectory()
        // The target is a directory, which no file can replace.
        let path = directory.file("taken")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let error = try #require(failure { try AtomicFile.write("x", to: path) })
        #expect(error.kind == .notWritable)
        #expect(error.description.contains("rename"))
        #expect(try directory.contents == ["taken"])
    }

    @Test func missingDirectory() throws {
        let error = try #require(failure { try AtomicFile.write("x", to: "/nonexistent/folder/x") })
        #expect(error.kind == .notWritable)
        #expect(error.description.contains("No such file"))
    }

    @Test func whatAKilledProcessLeftIsOverwritten() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a")
        _ = try directory.write(Array(repeating: 1, count: 100), as: "a.tmp-\(getpid())")
        try AtomicFile.write("x", to: path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "x")
        #expect(try directory.contents == ["a"])
    }

    @Test func twoWritersOfOneFileAreRefused() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a")
        let first = try AtomicFileWriter(path: path)
        #expect(failure { try AtomicFile.write("second", to: path) }?.kind == .notWritable)
        try Array("first".utf8).withUnsafeBytes { try first.append($0) }
        _ = try first.finish()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "first")
    }

    /// Values of the xxHash project's own command, `xxhsum -H3`.
    @Test(arguments: [("", "2d06800538d394c2"), ("a", "e6c632b61e964e1f"), ("abc", "78af5f94892f3950")])
    func publishedChecksums(text: String, digest: String) {
        #expect(Array(text.utf8).withUnsafeBytes { Checksum.of($0) } == digest)
    }

    @Test func checksumOfPiecesIsThatOfTheWhole() {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        var checksum = Checksum()
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: 333) {
                checksum.update(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 333, bytes.count)]))
            }
            #expect(checksum.hexDigest == Checksum.of(bytes))
        }
    }
}
