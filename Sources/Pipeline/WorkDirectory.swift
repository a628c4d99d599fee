// Where an unfinished run keeps its work, inside the output directory.

internal import Foundation
internal import Glibc
internal import Safetensors

/// The paths of a run.
public struct WorkDirectory: Sendable {
    /// The directory of the result.
    public let output: String

    public init(output: String) {
        self.output = output
    }

    /// Everything that is not part of the result: journals, partial checkpoints, the report.
    public var path: String { output + "/cleave" }
    public var report: String { path + "/report.json" }
    /// A file here asks a run to stop in good order.
    public var stopFile: String { path + "/stop" }
    var lock: String { path + "/lock" }
    var record: String { path + "/run.json" }
    var recipe: String { path + "/recipe.json" }
    var partialCheckpoints: String { path + "/partial" }
    var journals: String { path + "/journal" }
    public var manifest: String { output + "/cleave_manifest.json" }

    /// Makes the directories; the coordinator's task.
    func create() throws {
        do {
            for directory in [output, partialCheckpoints, journals] {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            }
        } catch {
            throw PipelineError(.cannotWrite, "cannot make the output directory \(output): \(error.localizedDescription)")
        }
    }

    /// Takes away what killed runs have left half written, and partial checkpoints that no journal names.
    ///
    /// - Parameter journaled: partial checkpoints by name.
    func removeLeftovers(journaled: Set<String>) {
        for directory in [output, path, partialCheckpoints, journals] {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
                let isOrphan = directory == partialCheckpoints && !journaled.contains(name)
                if isOrphan || AtomicFile.isTemporary(name) { unlink(directory + "/" + name) }
            }
        }
    }

    /// Partial checkpoints and journals are of no use once the result is verified.
    func removePartialCheckpoints() {
        // Journals first: what they name is there for as long as they are.
        for directory in [journals, partialCheckpoints] { try? FileManager.default.removeItem(atPath: directory) }
    }
}
