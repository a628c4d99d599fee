// Failing system calls: a small library that is preloaded into the ranks.

import Foundation

/// One system call that is to fail.
struct Fault: CustomStringConvertible {
    enum Call: String { case open, write, fsync, rename, header, memory }

    enum Action {
        case error(Int32)
        /// SIGKILL at the call; a write is half done by then.
        case kill
    }

    var call: Call
    /// A part of the file's path.
    var path: String
    /// Which of the calls on such files, from 1.
    var number = 1
    var action: Action
    /// nil: in every rank.
    var rank: Int?

    var description: String { "\(call.rawValue) \(number) of \(path)\(rank.map { " in rank \($0)" } ?? "")" }

    /// What a process needs in its environment.
    ///
    /// - Parameter library: from `buildLibrary`.
    func environment(_ library: String) -> [String] {
        let code = if case .error(let errno) = action { "\(errno)" } else { "kill" }
        return ["LD_PRELOAD=\(library)", "CLEAVE_FAULT=\(call.rawValue):\(path):\(number):\(code)"] + (rank.map { ["CLEAVE_FAULT_RANK=\($0)"] } ?? [])
    }

    /// Builds the library in a directory.
    /// - Returns: its path.
    static func buildLibrary(in directory: TemporaryDirectory) throws -> String {
        let output = directory.path + "/faults.so"
        let compiler = Process()
        compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        compiler.arguments = [
            "cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", output, CleaveProcess.root + "/Tests/EndToEndTests/Faults/faults.c", "-ldl",
        ]
        try compiler.run()
        compiler.waitUntilExit()
        guard compiler.terminationStatus == 0 else { throw CocoaError(.executableLoad) }
        return output
    }
}
