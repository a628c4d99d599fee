// Runs the built command as a user would: alone, or under mpirun.

import Foundation

/// One finished run of the command.
struct CleaveRun {
    var exitCode: Int32
    var output: String
    var errors: String
}

/// A run of the command that has been started.
final class CleaveProcess {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// The release binary, or the one named by CLEAVE_BINARY.
    static var binary: String { ProcessInfo.processInfo.environment["CLEAVE_BINARY"] ?? root + "/.build/release/cleave" }

    private let process = Process()
    // Files instead of pipes: a pipe that nobody empties would stop the process.
    private let directory: TemporaryDirectory
    private var output: String { directory.path + "/stdout" }
    private var errors: String { directory.path + "/stderr" }

    /// Starts `cleave arguments` on some ranks; without a launcher when `ranks` is nil.
    ///
    /// - Parameter environment: settings `NAME=value` for the ranks alone.
    convenience init(_ arguments: [String], ranks: Int? = nil, threads: Int = 1, environment: [String] = []) throws {
        let launcher = ["mpirun", "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--allow-run-as-root", "--timeout", "300", "-n"]
        try self.init(
            command: ["OMP_NUM_THREADS=\(threads)"] + (ranks.map { launcher + ["\($0)"] } ?? []) + ["env"] + environment + [Self.binary] + arguments)
    }

    /// Starts a command, or a script of the repository, in the repository's root; variables may come before it, as for `env`.
    init(command: [String]) throws {
        directory = try TemporaryDirectory()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["CLEAVE_BINARY=\(Self.binary)"] + command
        process.currentDirectoryURL = URL(fileURLWithPath: Self.root)
        for path in [output, errors] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        // The threads of tests block signals, and what they start would inherit that.
        var (none, blocked) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &blocked)
        defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
        try process.run()
    }

    /// The launcher's process, or the command's own without one.
    var identifier: pid_t { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    /// The processes of the ranks, as far as they have been started.
    var ranks: [pid_t] {
        let text = (try? String(contentsOfFile: "/proc/\(identifier)/task/\(identifier)/children", encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { pid_t($0) }
    }

    /// Whether ranks have been started and all of them have ended.
    private var hasNobody: Bool {
        let states = ranks.map { rank in
            (try? String(contentsOfFile: "/proc/\(rank)/stat", encoding: .utf8))?.split(separator: ")").last?.split(separator: " ").first ?? "Z"
        }
        return !states.isEmpty && states.allSatisfy { $0 == "Z" }
    }

    /// Waits for the end. An mpirun that stays 20 s longer than its ranks is killed: PMIx may lock itself out when a rank dies while it connects.
    func wait() throws -> CleaveRun {
        var lonely = 0
        while process.isRunning {
            Thread.sleep(forTimeInterval: 0.02)
            lonely = hasNobody ? lonely + 1 : 0
            if lonely > 1000 { kill(identifier, SIGKILL) }
        }
        process.waitUntilExit()
        return CleaveRun(
            exitCode: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }

    /// Runs the command to its end.
    static func run(_ arguments: [String], ranks: Int? = nil, threads: Int = 1, environment: [String] = []) throws -> CleaveRun {
        try CleaveProcess(arguments, ranks: ranks, threads: threads, environment: environment).wait()
    }

    static func run(command: [String]) throws -> CleaveRun {
        try CleaveProcess(command: command).wait()
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
