// What has been committed: lines of JSON, one file per rank and attempt.

internal import Foundation
internal import Glibc
internal import MessagePassing
internal import Safetensors
internal import Sharding

/// One committed partial checkpoint.
struct JournalEntry: Codable, Sendable {
    var planHash: String
    var block: Int
    /// Name inside the directory of partial checkpoints.
    var file: String
    var bytes: Int
    /// XXH3 of the file.
    var checksum: String
    /// Committed tiles as (stage, first tile, count).
    var tiles: [TileRun]
    /// What the report says about the stages' Hessians, by stage.
    var stages: [Int: StageFacts]
}

/// A line of a journal: an entry and the checksum of its JSON, so that no damage goes unnoticed.
private struct JournalLine: Codable {
    var entry: JournalEntry
    /// XXH3 of `entry` as `json` writes it.
    var checksum: String

    init(_ entry: JournalEntry) throws {
        self.entry = entry
        checksum = try Self.json(entry).withUnsafeBytes { Checksum.of($0) }
    }

    /// The entry of a line; nil when the line is cut off or damaged.
    static func entry(of line: Data) -> JournalEntry? {
        guard let found = try? JSONDecoder().decode(JournalLine.self, from: line), let expected = try? JournalLine(found.entry),
            found.checksum == expected.checksum
        else { return nil }
        return found.entry
    }

    static func json<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }
}

/// Consecutive tiles of a stage.
struct TileRun: Codable, Sendable {
    var stage: Int
    var first: Int
    var count: Int
}

/// What is known of a stage after its factorisation.
struct StageFacts: Codable, Sendable {
    /// By treatment of the stage's linears, in the order of the linears; nil for a linear without a Hessian.
    var linears: [LinearFacts?]
    var tokens: Int
}

struct LinearFacts: Codable, Sendable {
    var damping: Double
    var attempts: Int
    var deadColumns: Int
    var fallback: String?
}

/// Appends entries to one file, each on disk before `append` returns.
struct JournalWriter {
    private let path: String

    /// - Parameter attempt: number of this run of the job, from 1.
    init(_ work: WorkDirectory, attempt: Int, rank: Int) {
        path = work.journals + "/attempt-\(attempt).rank-\(rank).jsonl"
    }

    func append(_ entry: JournalEntry) throws {
        let line = try JournalLine.json(JournalLine(entry)) + [UInt8(ascii: "\n")]
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure("open") }
        defer { close(descriptor) }
        let written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written == line.count else { throw failure("write") }
        guard fsync(descriptor) == 0 else { throw failure("fsync") }
    }

    private func failure(_ call: String) -> PipelineError {
        let full = errno == ENOSPC || errno == EDQUOT
        return PipelineError(
            full ? .cannotWrite : .ioError, "\(path): \(call) failed: \(String(cString: strerror(errno)))\(full ? "; make space and run again" : "")")
    }
}

/// The committed tiles of earlier attempts.
struct Journal: Sendable {
    private(set) var entries: [JournalEntry] = []
    /// The number of the attempt that starts now.
    private(set) var attempt = 1
    /// Partial checkpoints that were not trusted, with the reason.
    private(set) var refused: [String] = []

    struct Contents: Codable {
        var entries: [JournalEntry]
        var attempt: Int
        var refused: [String]
    }

    /// Reads the journals (the coordinator) and checks every partial checkpoint's size and checksum (all ranks, in turn).
    init(_ work: WorkDirectory, planHash: String, plan: Plan, world: Communicator) throws {
        // A rank may still be writing its last entry.
        try world.barrier()
        let contents = try world.fromCoordinator(exitCode: exitCode) { try Self.read(work, planHash: planHash, plan: plan) }
        attempt = contents.attempt
        refused = contents.refused
        var valid = [Int32](repeating: 0, count: contents.entries.count)
        for index in stride(from: world.rank, to: contents.entries.count, by: world.size) {
            let entry = contents.entries[index]
            let path = work.partialCheckpoints + "/" + entry.file
            let bytes = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? -1
            valid[index] = bytes == entry.bytes && (try? Checksum.ofFile(path)) == entry.checksum ? 1 : 0
        }
        try world.allReduceMax(&valid)
        for (index, entry) in contents.entries.enumerated() {
            if valid[index] == 1 { entries.append(entry) } else { refused.append("\(entry.file): missing, or its size or checksum differs") }
        }
    }

    static func read(_ work: WorkDirectory, planHash: String, plan: Plan) throws -> Contents {
        var contents = Contents(entries: [], attempt: 1, refused: [])
        let names = try FileManager.default.contentsOfDirectory(atPath: work.journals).filter { $0.hasSuffix(".jsonl") }.sorted()
        for name in names {
            let attempt = Int32(name.dropFirst("attempt-".count).prefix { $0 != "." }) ?? 0
            contents.attempt = max(contents.attempt, Int(attempt) + 1)
            let data = FileManager.default.contents(atPath: work.journals + "/" + name) ?? Data()
            for line in data.split(separator: UInt8(ascii: "\n")) {
                guard let entry = JournalLine.entry(of: line) else {
                    contents.refused.append("\(name): a line that is cut off or damaged")
                    continue
                }
                guard entry.planHash == planHash else {
                    throw PipelineError(
                        .badInput,
                        "\(work.output) holds an unfinished run of another plan (recipe, model, calibration or tokenizer differ): "
                            + "found \(entry.planHash), expected \(planHash). Give another output directory, or remove \(work.path) to start anew")
                }
                if let contradiction = entry.contradiction(to: plan) {
                    contents.refused.append("\(name): a line that does not fit the plan: \(contradiction)")
                    continue
                }
                contents.entries.append(entry)
            }
        }
        return contents
    }
}
