// Runs the built command as a user would: alone, or under mpirun.

import Foundation

/// One finished run of the command.
struct CleaveRun {
    var exitCode: Int32
    var output: String
    var errors: String
}

enum CleaveProcess {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// The release binary, or the one named by CLEAVE_BINARY.
    static var binary: String { ProcessInfo.processInfo.environment["CLEAVE_BINARY"] ?? root + "/.build/release/cleave" }

    /// Runs `cleave arguments` in the repository's root on some ranks; without a launcher when `ranks` is nil.
    static func run(_ arguments: [String], ranks: Int? = nil, threads: Int = 1) throws -> CleaveRun {
        let launcher = ["mpirun", "--quiet", "--oversubscribe", "--bind-to", "none", "--allow-run-as-root", "--timeout", "300", "-n"]
        return try run(command: ["OMP_NUM_THREADS=\(threads)"] + (ranks.map { launcher + ["\($0)"] } ?? []) + [binary] + arguments)
    }

    /// Runs a command, or a script of the repository, in the repository's root; variables may come before it, as for `env`.
    static func run(command: [String]) throws -> CleaveRun {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["CLEAVE_BINARY=\(binary)"] + command
        process.currentDirectoryURL = URL(fileURLWithPath: root)
        // Files instead of pipes: a pipe that nobody empties would stop the process.
        let directory = try TemporaryDirectory()
        let (output, errors) = (directory.path + "/stdout", directory.path + "/stderr")
        for path in [output, errors] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        // The threads of tests block signals, and what they start would inherit that.
        var none = sigset_t(), blocked = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &blocked)
        defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
        try process.run()
        process.waitUntilExit()
        return CleaveRun(
            exitCode: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }
}

/// A directory that goes with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// The result's files by name; the work directory, whose report holds times, is no part of the result.
func resultFiles(_ directory: String) throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0 != "cleave" }
    return Dictionary(uniqueKeysWithValues: try names.map { ($0, try Data(contentsOf: URL(fileURLWithPath: directory + "/" + $0))) })
}
