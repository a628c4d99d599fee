// A journal: its lines as they are, and again with the right checksum and plan wherever a line holds an entry at all.

import Failures
import Foundation
import Sharding

@testable import Checkpoints

extension FuzzTarget {
    static let journal = FuzzTarget(name: "journal") { bytes in
        let work = work
        _ = Scratch.write(bytes, to: "cleave/journal/attempt-1.rank-0.jsonl")
        unlink("\(work.journals)/attempt-2.rank-0.jsonl")
        let writer = JournalWriter(work, attempt: 2, rank: 0)
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard var entry = try? JSONDecoder().decode(JournalEntry.self, from: Data(line)) else { continue }
            (entry.planHash, entry.sourceDigest) = (identity.planHash, identity.sourceDigest)
            do { try writer.append(entry) } catch { fatalError("\(error)") }
        }
        expecting(PipelineError.self) {
            let found = try Journal.read(work, identity, TinyPlan.plan)
            follow(found.entries)
        }
    }

    /// What a run does with entries before it looks at the files that they name.
    private static func follow(_ entries: [JournalEntry]) {
        let plan = TinyPlan.plan
        for entry in entries {
            claim(!entry.file.utf8.contains(UInt8(ascii: "/")) && entry.file != "..", "\(entry.file) leads out of the directory")
            for (stage, facts) in entry.stages {
                claim(facts.linears.count == plan.blocks[entry.block].stages[stage].linears.count, "facts of \(facts.linears.count) linears")
            }
        }
        let committed = CommittedTiles(entries, plan, work)
        claim(committed.count <= plan.tileCount, "tiles that the plan does not have")
    }

    private static let identity = RunIdentity(planHash: "00000000000000aa", sourceDigest: "00000000000000bb")

    private static let work: WorkDirectory = {
        let work = WorkDirectory(output: Scratch.folder)
        _ = Scratch.makeFolder("cleave/journal")
        return work
    }()
}
