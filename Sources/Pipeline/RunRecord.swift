// What a run began with, kept in its work directory so that it goes on with nothing else.

internal import Foundation
internal import Safetensors

/// OUTPUT/cleave/run.json: plan and source of the run.
struct RunRecord: Sealed {
    var plan: PlanIdentity
    var source: SourceFiles
    var seal: String?

    init(plan: PlanIdentity, source: SourceFiles) {
        self.plan = plan
        self.source = source
    }

    /// nil when there is none, or a damaged one.
    static func read(_ work: WorkDirectory) -> RunRecord? {
        FileManager.default.contents(atPath: work.record).flatMap(RunRecord.init(sealedJSON:))
    }

    func save(_ work: WorkDirectory) throws {
        try AtomicFile.write(sealedJSON(pretty: true), to: work.record)
    }

    var identity: RunIdentity { RunIdentity(planHash: plan.hash, sourceDigest: source.digest) }

    /// What is not as it was in an earlier record, in words.
    func differences(from earlier: RunRecord) -> [String] {
        plan.differences(from: earlier.plan) + source.differences(from: earlier.source)
    }
}

/// The checksums that say whether two runs write the same bytes.
struct RunIdentity: Equatable, Sendable {
    var planHash: String
    var sourceDigest: String
}
