// Where an unfinished run keeps its work, inside the output directory.

internal import Failures
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
    /// The same for people: a page of its own.
    public var page: String { path + "/report.html" }
    /// What happens in the run, event by event.
    public var log: String { path + "/events.jsonl" }
    /// What all ranks did when, and the directory of their own files.
    public var trace: String { path + "/trace.json" }
    package var traces: String { path + "/trace" }
    package func trace(of rank: Int) -> String { "\(traces)/rank-\(rank).json" }
    /// Evaluations of the result that were made after the run.
    public var evaluations: String { path + "/evaluations.jsonl" }
    /// A file here asks a run to stop in good order.
    public var stopFile: String { path + "/stop" }
    package var lock: String { path + "/lock" }
    package var record: String { path + "/run.json" }
    package var recipe: String { path + "/recipe.json" }
    /// The table from which a budget was spent, and the directory of the run that measures it.
    package var losses: String { path + "/losses.json" }
    /// The largest keys and values that were measured.
    package var cache: String { path + "/cache.json" }
    package var measuring: WorkDirectory { WorkDirectory(output: path + "/losses") }
    package var partialCheckpoints: String { path + "/partial" }
    /// The names of the result's files.
    var result: String { path + "/result.json" }
    /// The files of the work directory that are replaced as a whole, by name.
    var workFiles: [String] { [report, page, record, recipe, result, losses, cache].map { String($0.dropFirst(path.count + 1)) } }
    package var journals: String { path + "/journal" }
    public var manifest: String { Manifest.path(in: output) }

    /// Makes the directories; the coordinator's task.
    package func create() throws {
        do {
            for directory in [output, partialCheckpoints, journals] {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            }
        } catch {
            throw PipelineError(.cannotWrite, "cannot make the output directory \(output): \(error.localizedDescription)")
        }
    }
}
