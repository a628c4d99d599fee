// What a run began with, kept in its work directory so that it goes on with nothing else.

internal import Foundation
internal import Safetensors

/// OUTPUT/cleave/run.json: plan and source of the run, and the platforms of its ranks.
struct RunRecord: Sealed {
    var plan: PlanIdentity
    var source: SourceFiles
    /// Of all attempts, each once, sorted. Several give a sound result, but not the bytes of one alone.
    var platforms: [String]
    var seal: String?

    init(plan: PlanIdentity, source: SourceFiles, platforms: [String]) {
        self.plan = plan
        self.source = source
        self.platforms = platforms
    }

    /// nil when there is none, or a damaged one.
    static func read(_ work: WorkDirectory) -> RunRecord? {
        FileManager.default.contents(atPath: work.record).flatMap(RunRecord.init(sealedJSON:))
    }

    func save(_ work: WorkDirectory) throws {
        try AtomicFile.write(sealedJSON(pretty: true), to: work.record)
    }

    var identity: RunIdentity { RunIdentity(planHash: plan.hash, sourceDigest: source.digest) }
}

/// The checksums that say whether two runs write the same bytes.
struct RunIdentity: Equatable, Sendable {
    var planHash: String
    var sourceDigest: String
}
