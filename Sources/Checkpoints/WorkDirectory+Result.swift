// Output directories of commands that write a checkpoint in one go: nothing of them is resumed.

internal import Failures
internal import Foundation
internal import Glibc

extension WorkDirectory {
    /// Makes the output directory, locks it, and takes away what a killed command left half written. The coordinator's task.
    ///
    /// - Parameter names: the files of the result.
    /// - Throws: `PipelineError` (73) where a checkpoint, an unfinished run, or something else stands there.
    package func enterForResult(_ names: [String]) throws -> RunLock {
        let exists = FileManager.default.fileExists(atPath:)
        guard !exists(output + "/config.json"), !exists(recipe) else {
            throw PipelineError(.cannotWrite, "\(output) holds a checkpoint or an unfinished run; give another output directory")
        }
        try refuseForeignFiles()
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw PipelineError(.cannotWrite, "cannot make the output directory \(output): \(error.localizedDescription)")
        }
        let lock = try RunLock(path: lock)
        removeLeftovers(journaled: [])
        try beginResult(names)
        return lock
    }

    /// Leaves nothing but the result in the output, and nothing of what was refused before its first file: the record of names is of use to a command that goes on
    /// where this one failed. The coordinator's task.
    package func leaveResult(_ names: [String]) {
        let exists = { FileManager.default.fileExists(atPath: output + "/" + $0) }
        if exists("config.json") || !names.contains(where: exists) { unlink(result) }
        for directory in [path, output] { rmdir(directory) }
    }
}
