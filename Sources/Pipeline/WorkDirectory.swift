// Where an unfinished run keeps its work, inside the output directory.

internal import Foundation

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

    /// Partial checkpoints and journals are of no use once the result is verified.
    func removePartialCheckpoints() throws {
        for directory in [partialCheckpoints, journals] { try? FileManager.default.removeItem(atPath: directory) }
    }
}
