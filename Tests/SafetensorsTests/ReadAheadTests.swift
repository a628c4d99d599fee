// Reading ahead: bytes of a tensor come into the system's cache of files without being read.

import Foundation
import Glibc
import Testing

import Safetensors

struct ReadAheadTests {
    /// Pages of a file that lie in the system's cache.
    private func cachedPages(_ path: String) throws -> [Bool] {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        let base = try #require(mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0))
        defer { munmap(base, size) }
        var pages = [UInt8](repeating: 0, count: (size + 4095) / 4096)
        try #require(mincore(base, size, &pages) == 0)
        return pages.map { $0 & 1 == 1 }
    }

    private func evict(_ path: String) throws {
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        try #require(fsync(descriptor) == 0)
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    @Test(arguments: [Access.mapped, .pread])
    func bringsARangeIntoTheCache(access: Access) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("model.safetensors")
        try writeSample(path, [("a", .u8, [32 << 20]), ("b", .u8, [1 << 20])])
        let checkpoint = Checkpoint(index: try CheckpointIndex(directory: directory.path), access: access)
        try evict(path)
        // A file system in memory has no other place for it.
        guard try !cachedPages(path).contains(true) else { return }
        checkpoint.readAhead("a", bytes: 8 << 20..<16 << 20)
        let wanted = (9 << 20) / 4096..<(15 << 20) / 4096
        let deadline = ContinuousClock.now + .seconds(10)
        while try cachedPages(path)[wanted].contains(false), ContinuousClock.now < deadline { usleep(10_000) }
        let pages = try cachedPages(path)
        #expect(!pages[wanted].contains(false))
        #expect(!pages[(24 << 20) / 4096..<(31 << 20) / 4096].contains(true))
        #expect(checkpoint.bytesRead == 0)
    }

    @Test func adviceNeverFails() throws {
        let directory = try TemporaryDirectory()
        try writeSample(directory.file("model.safetensors"), [("a", .u8, [8])])
        let checkpoint = Checkpoint(index: try CheckpointIndex(directory: directory.path))
        checkpoint.readAhead("absent", bytes: 0..<8)
        checkpoint.readAhead("a", bytes: 4..<100)
        try FileManager.default.removeItem(atPath: directory.file("model.safetensors"))
        Checkpoint(index: checkpoint.index).readAhead("a", bytes: 0..<8)
        #expect(try checkpoint.withBytes(of: "a") { $0.count } == 8)
    }
}
