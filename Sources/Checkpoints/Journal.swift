// What has been committed: lines of JSON, one file per rank and attempt.

internal import Failures
internal import Foundation
package import MessagePassing
internal import Safetensors
package import Sharding

/// One committed partial checkpoint.
package struct JournalEntry: Sealed, Sendable {
    var planHash: String
    /// Checksum of the source's files.
    var sourceDigest: String
    package var block: Int
    /// Name inside the directory of partial checkpoints.
    var file: String
    var bytes: Int
    /// XXH3 of the file.
    var checksum: String
    /// Committed tiles as (stage, first tile, count).
    var tiles: [TileRun]
    /// What the report says about the stages' Hessians, by stage.
    package var stages: [Int: StageFacts]
    package var seal: String?

    package init(
        planHash: String, sourceDigest: String, block: Int, file: String, bytes: Int, checksum: String, tiles: [TileRun], stages: [Int: StageFacts]
    ) {
        (self.planHash, self.sourceDigest, self.block) = (planHash, sourceDigest, block)
        (self.file, self.bytes, self.checksum, self.tiles, self.stages) = (file, bytes, checksum, tiles, stages)
    }
}

/// Consecutive tiles of a stage.
package struct TileRun: Codable, Sendable {
    var stage: Int
    var first: Int
    var count: Int

    /// Empty where the numbers are none of a run's.
    var tiles: Range<Int> {
        let (end, overflow) = first.addingReportingOverflow(count)
        return first >= 0 && count > 0 && !overflow ? first..<end : 0..<0
    }

    /// Ascending indices of tiles as runs.
    package static func runs(of tiles: [Int], stage: Int) -> [TileRun] {
        tiles.reduce(into: []) { runs, tile in
            if let last = runs.last, last.first + last.count == tile {
                runs[runs.count - 1].count += 1
            } else {
                runs.append(TileRun(stage: stage, first: tile, count: 1))
            }
        }
    }
}

/// What is known of a stage after its factorisation.
package struct StageFacts: Codable, Sendable {
    /// By treatment of the stage's linears, in the order of the linears; nil for a linear without a Hessian.
    package var linears: [LinearFacts?]
    /// That entered the Hessian.
    package var tokens: Int
    /// Of an expert, those that the router sent to it: fewer where it borrowed some.
    package var routedTokens: Int?
    /// Where a budget is to choose: of each choice, what each of the linears with choices loses (`LossTable.Choice`).
    package var losses: [[Double?]]?

    package init(linears: [LinearFacts?], tokens: Int) {
        (self.linears, self.tokens) = (linears, tokens)
    }
}

/// What is known of a linear's factor.
package struct LinearFacts: Codable, Sendable {
    package var damping: Double
    package var attempts: Int
    package var deadColumns: Int
    package var fallback: String?
    /// Of the Hessian; nil without one.
    package var effectiveRank: Double?

    package init(damping: Double, attempts: Int, deadColumns: Int, fallback: String?, effectiveRank: Double? = nil) {
        (self.damping, self.attempts, self.deadColumns) = (damping, attempts, deadColumns)
        (self.fallback, self.effectiveRank) = (fallback, effectiveRank)
    }
}

/// Appends entries to one file, each on disk before `append` returns.
package struct JournalWriter {
    private let file: AppendedFile

    /// - Parameter attempt: number of this run of the job, from 1.
    package init(_ work: WorkDirectory, attempt: Int, rank: Int) {
        file = AppendedFile(path: work.journals + "/" + Self.fileName(attempt: attempt, rank: rank))
    }

    private static func fileName(attempt: Int, rank: Int) -> String { "attempt-\(attempt).rank-\(rank).jsonl" }

    /// Whether a name is one that a journal has.
    static func isFileName(_ name: String) -> Bool {
        let numbers = name.split(separator: ".").prefix(2).map { $0.split(separator: "-").last.flatMap { Int($0) } ?? -1 }
        return numbers.count == 2 && name == fileName(attempt: numbers[0], rank: numbers[1])
    }

    package func append(_ entry: JournalEntry) throws {
        try file.append(entry.sealedJSON())
    }
}

/// The committed tiles of earlier attempts.
package struct Journal: Sendable {
    package private(set) var entries: [JournalEntry] = []
    /// The number of the attempt that starts now.
    package private(set) var attempt = 1
    /// Partial checkpoints that were not trusted, with the reason.
    package private(set) var refused: [String] = []

    struct Contents: Codable {
        var entries: [JournalEntry]
        var attempt: Int
        var refused: [String]
    }

    /// Reads the journals and clears away what killed runs left (the coordinator), and checks every partial checkpoint's size and checksum (all ranks, in turn).
    package init(_ work: WorkDirectory, _ identity: RunIdentity, _ plan: Plan, world: Communicator) throws {
        // A rank may still be writing its last entry.
        try world.barrier()
        let contents = try world.fromCoordinator(exitCode: exitCode) { try Self.read(work, identity, plan) }
        attempt = contents.attempt
        refused = contents.refused
        var valid = [Int32](repeating: 0, count: contents.entries.count)
        for index in stride(from: world.rank, to: contents.entries.count, by: world.size) {
            let entry = contents.entries[index]
            valid[index] = entry.hasFile(in: work) && (try? Checksum.ofFile(entry.path(in: work))) == entry.checksum ? 1 : 0
        }
        try world.allReduceMax(&valid)
        for (index, entry) in contents.entries.enumerated() {
            if valid[index] == 1 { entries.append(entry) } else { refused.append("\(entry.file): missing, or its size or checksum differs") }
        }
    }

    static func read(_ work: WorkDirectory, _ identity: RunIdentity, _ plan: Plan) throws -> Contents {
        var contents = Contents(entries: [], attempt: 1, refused: [])
        for (name, attempt) in try files(work) {
            contents.attempt = max(contents.attempt, attempt + 1)
            for entry in try entries(work.journals + "/" + name) {
                guard let entry else {
                    contents.refused.append("\(name): a line that is cut off or damaged")
                    continue
                }
                if let contradiction = entry.identity == identity ? entry.contradiction(to: plan) : "it is another run's" {
                    contents.refused.append("\(name): a line that does not fit the plan: \(contradiction)")
                } else {
                    contents.entries.append(entry)
                }
            }
        }
        work.removeLeftovers(journaled: Set(contents.entries.map(\.file)))
        return contents
    }

    /// The journals of all ranks and attempts by name, with the number of their attempt.
    static func files(_ work: WorkDirectory) throws -> [(name: String, attempt: Int)] {
        let names = try FileManager.default.contentsOfDirectory(atPath: work.journals).filter(JournalWriter.isFileName).sorted()
        // A 32-bit number leaves room to count on from.
        return names.map { ($0, Int(Int32($0.dropFirst("attempt-".count).prefix { $0 != "." }) ?? 0)) }
    }

    /// The lines of one journal; nil for each that cannot be trusted.
    static func entries(_ path: String) throws -> [JournalEntry?] {
        guard let data = FileManager.default.contents(atPath: path) else { throw PipelineError(.ioError, "cannot read \(path)") }
        return data.split(separator: UInt8(ascii: "\n")).map(JournalEntry.init(sealedJSON:))
    }

    /// An entry of an earlier attempt, if there is any: all are of one run.
    package static func anyEntry(_ work: WorkDirectory) throws -> JournalEntry? {
        for (name, _) in try files(work) {
            if let entry = try entries(work.journals + "/" + name).lazy.compactMap({ $0 }).first { return entry }
        }
        return nil
    }
}

extension JournalEntry {
    /// Of its partial checkpoint.
    func path(in work: WorkDirectory) -> String { work.partialCheckpoints + "/" + file }

    /// Whether its partial checkpoint is there, of its size.
    func hasFile(in work: WorkDirectory) -> Bool { FilePath.isName(file) && (try? FileStamp(path: path(in: work)))?.byteCount == bytes }

    package var identity: RunIdentity { RunIdentity(planHash: planHash, sourceDigest: sourceDigest) }
}
