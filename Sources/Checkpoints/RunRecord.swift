// What a run began with, kept in its work directory so that it goes on with nothing else.

internal import Foundation
package import Models
internal import Safetensors
package import Sharding

/// OUTPUT/cleave/run.json: plan and source of the run, and the platforms of its ranks.
package struct RunRecord: Sealed {
    package var plan: PlanIdentity
    package var source: SourceFiles
    /// Of all attempts, each once, sorted. Several give a sound result, but not the bytes of one alone.
    package var platforms: [String]
    /// What there is to do, for those who look at the run without its model; nil in records of earlier versions.
    package var work: RunWork?
    package var seal: String?

    package init(plan: PlanIdentity, source: SourceFiles, platforms: [String], work: RunWork) {
        self.work = work
        self.plan = plan
        self.source = source
        self.platforms = platforms
    }

    /// nil when there is none, or a damaged one.
    package static func read(_ work: WorkDirectory) -> RunRecord? {
        FileManager.default.contents(atPath: work.record).flatMap(RunRecord.init(sealedJSON:))
    }

    package func save(_ work: WorkDirectory) throws {
        try AtomicFile.write(sealedJSON(pretty: true), to: work.record)
    }

    package var identity: RunIdentity { RunIdentity(planHash: plan.hash, sourceDigest: source.digest) }
}

/// How much there is to do, by block and stage.
package struct RunWork: Codable, Equatable, Sendable {
    package var tiles: [[Int]]
    /// Those that are compressed.
    package var linears: [[Int]]

    package init(_ plan: Plan) {
        tiles = plan.blocks.map { $0.stages.map(\.tiles.count) }
        linears = plan.blocks.map { $0.stages.map { stage in stage.linears.count { $0.treatment != nil } } }
    }
}

/// The checksums that say whether two runs write the same bytes.
package struct RunIdentity: Equatable, Sendable {
    package var planHash: String
    package var sourceDigest: String

    package init(planHash: String, sourceDigest: String) {
        (self.planHash, self.sourceDigest) = (planHash, sourceDigest)
    }
}
