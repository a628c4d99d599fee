// The history of a run by the log in its work directory.

internal import Checkpoints
internal import Foundation
internal import Reporting

extension RunHistory {
    /// That of no attempts where there is no log.
    init(_ work: WorkDirectory) {
        self.init(log: FileManager.default.contents(atPath: work.log) ?? Data())
    }
}
