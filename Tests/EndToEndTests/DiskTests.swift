// A full or failing disk: one clear error, nothing that looks finished, and the next run completes.

import Foundation
import Testing

@Suite(.serialized) struct DiskTests {
    /// Every kind of file that a run writes, and the rank that writes it.
    private static let files = [
        ("cleave/lock", 0), ("cleave/recipe.json", 0), ("cleave/run.json", 0), ("/partial/", 1), ("/journal/", 1), ("/model-", 1),
        ("model.safetensors.index.json", 0),
        ("tokenizer.json", 0), ("cleave_manifest.json", 0), ("/config.json", 0), ("cleave/report.json", 0), ("cleave/report.html", 0),
    ]

    @Test(arguments: [(Fault.Call.open, EACCES), (.write, ENOSPC), (.fsync, EIO), (.rename, ENOSPC)])
    func everyFileOfARun(call: Fault.Call, code: Int32) throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        // Rounding to nearest: the files are the same, and the runs are short.
        let settings = ["compress.method=rtn", "compress.grid=minmax", "calibration=null"]
        try #require(try SmallRun.compress(directory.path + "/whole", settings, ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(directory.path + "/whole")
        for (index, (path, rank)) in Self.files.enumerated() {
            // The lock and journals are written in place.
            if call == .rename && (path.hasSuffix("lock") || path.contains("journal")) || call == .fsync && path.hasSuffix("lock") { continue }
            let output = directory.path + "/\(index)"
            let fault = Fault(call: call, path: path, action: .error(code), rank: rank)
            let failed = try SmallRun.compress(output, settings, ranks: 2, environment: fault.environment(library))
            #expect([73, 74].contains(failed.exitCode), "\(fault): \(failed.exitCode) \(failed.errors)")
            let words = String(cString: strerror(code))
            #expect(failed.errors.components(separatedBy: words).count == 2, "\(fault): \(failed.errors)")
            #expect(failed.errors.contains(path.contains("/model-") ? "/model-" : path), "\(fault): \(failed.errors)")
            let isFinished = path.contains("cleave/report.")
            #expect(FileManager.default.fileExists(atPath: output + "/config.json") == isFinished, "\(fault)")
            let again = try SmallRun.compress(output, settings, ranks: 2)
            #expect(again.exitCode == 0, "\(fault): \(again.errors)")
            try SmallRun.expectEqual(output, reference, "after \(fault)")
        }
    }

    /// A disk that is really full: a small file system of its own.
    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount")) func aFullDisk() throws {
        let directory = try TemporaryDirectory()
        try #require(try SmallRun.compress(directory.path + "/whole", ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(directory.path + "/whole")
        // Partial checkpoints take some 3 MB, the result some 7 MB.
        for kilobytes in [100, 1000, 4000, 9000] {
            let disk = try SmallDisk(directory.path + "/disk\(kilobytes)", options: "size=\(kilobytes)k")
            let output = disk.path + "/out"
            let failed = try SmallRun.compress(output, ranks: 2)
            #expect(failed.exitCode == 73, "\(kilobytes) kB: \(failed.exitCode) \(failed.errors)")
            #expect(failed.errors.contains("Free space"), "\(failed.errors)")
            #expect(!FileManager.default.fileExists(atPath: output + "/config.json"))
            let committed = try SmallRun.committedTiles(output)
            try disk.remount("size=64m")
            let again = try SmallRun.compress(output, ranks: 2)
            #expect(again.exitCode == 0, "\(again.errors)")
            #expect(try SmallRun.tiles(output).reused == committed)
            try SmallRun.expectEqual(output, reference, "\(kilobytes) kB")
        }
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount")) func aReadOnlyDisk() throws {
        let directory = try TemporaryDirectory()
        let disk = try SmallDisk(directory.path + "/disk", options: "ro")
        let failed = try SmallRun.compress(disk.path + "/out", ranks: 2)
        #expect(failed.exitCode == 73)
        #expect(failed.errors.components(separatedBy: "cannot make the output directory").count == 2, "\(failed.errors)")
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount")) func aFullScratchDisk() throws {
        let directory = try TemporaryDirectory()
        let disk = try SmallDisk(directory.path + "/disk", options: "size=200k")
        let failed = try SmallRun.compress(directory.path + "/out", flags: ["--activations", "scratch", "--scratch", disk.path], ranks: 2)
        #expect(failed.exitCode == 73)
        #expect(failed.errors.contains(disk.path) && failed.errors.contains("Free space"), "\(failed.errors)")
    }
}

/// A file system in memory, unmounted with its owner.
private final class SmallDisk {
    let path: String

    static let isPossible: Bool = {
        guard let directory = try? TemporaryDirectory() else { return false }
        return (try? SmallDisk(directory.path + "/probe", options: "size=100k")) != nil
    }()

    init(_ path: String, options: String) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try Self.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path])
    }

    func remount(_ options: String) throws {
        try Self.run(["mount", "-o", "remount,\(options)", path])
    }

    deinit {
        try? Self.run(["umount", path])
    }

    private static func run(_ command: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CocoaError(.fileWriteNoPermission) }
    }
}
