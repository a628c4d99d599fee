// What a rank has solved of a block, made durable.

internal import Checkpoints
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Packing
internal import Reporting
internal import Safetensors
internal import Sharding
internal import Solving

extension CompressionRun {
    /// Writes the tiles that this rank has solved, then says so in the journal.
    ///
    /// - Parameters:
    ///   - solved: by the places of stages in the block; taken out as soon as it is written.
    ///   - part: of a block that is committed in several parts.
    func commit(_ index: Int, _ solved: inout [Int: SolvedStage], part: Int = 0) throws {
        // What was solved from a file that has changed meanwhile is mixed, and would be trusted once it is committed.
        try world.onCoordinator(exitCode: exitCode) { try source?.checkUnchanged(in: sourcePath) }
        // Before the tiles: once all of these are there, the batches need not pass again.
        try commitCache()
        try world.together(exitCode: exitCode) { try clock.measure(.commit) { () throws in try write(index, &solved, part: part) } }
        MemoryPool.giveBackHeap()
        progress?.commit(block: index)
    }

    private func write(_ index: Int, _ solved: inout [Int: SolvedStage], part: Int) throws {
        let stages = Set(solved.keys), file = PartialCheckpoint.fileName(block: index, part: part, attempt: journal.attempt, rank: world.rank)
        let runs = solved.sorted { $0.key < $1.key }.flatMap { stage, result in TileRun.runs(of: result.solvedHere.keys.sorted(), stage: stage) }
        guard !runs.isEmpty else { return }
        let written = try PartialCheckpoint.write(
            taken(index, &solved), of: plan.blocks[index], to: work.partialCheckpoints + "/" + file, planHash: identity.planHash)
        // The entry of a block with thousands of experts takes megabytes while it becomes JSON: the tiles need not lie beside it.
        try journalWriter.append(
            JournalEntry(
                planHash: identity.planHash, sourceDigest: identity.sourceDigest, block: index, file: file, bytes: written.byteCount,
                checksum: written.checksum, tiles: runs, stages: findings[index].filter { stages.contains($0.key) }))
    }

    /// Takes out the tiles that this rank has solved.
    private func taken(_ index: Int, _ solved: inout [Int: SolvedStage]) -> [(key: TileKey, bytes: Matrix<UInt8>)] {
        defer { solved = [:] }
        return solved.flatMap { stage, result in result.solvedHere.map { (key: TileKey(block: index, stage: stage, tile: $0.key), bytes: $0.value) } }
    }
}
