// Committed tiles of one block, written by one rank: a safetensors file with one tensor of bytes per tile.

internal import Failures
internal import Foundation
package import LinearAlgebra
internal import MessagePassing
package import Packing
package import Safetensors
package import Sharding
internal import Transformers

/// A tile of the plan.
package struct TileKey: Hashable, Sendable {
    package var block: Int
    package var stage: Int
    /// Index in the stage's tiles.
    package var tile: Int

    package init(block: Int, stage: Int, tile: Int) {
        (self.block, self.stage, self.tile) = (block, stage, tile)
    }
}

package enum PartialCheckpoint {
    /// - Parameter part: of a block whose tiles are committed in several parts, from 0 on.
    package static func fileName(block: Int, part: Int = 0, attempt: Int, rank: Int) -> String {
        "block-\(block)\(part > 0 ? ".part-\(part)" : "").attempt-\(attempt).rank-\(rank).safetensors"
    }

    /// Whether a name is one that `fileName` makes.
    static func isFileName(_ name: String) -> Bool {
        let fields = name.split(separator: ".").dropLast().map { $0.split(separator: "-") }
        guard [3, 4].contains(fields.count), fields.allSatisfy({ $0.count == 2 }) else { return false }
        let numbers = fields.compactMap { Int($0[1]) }
        guard numbers.count == fields.count else { return false }
        let part = fields.count == 4 ? numbers[1] : 0
        return name == fileName(block: numbers[0], part: part, attempt: numbers[fields.count - 2], rank: numbers[fields.count - 1])
    }

    /// `model.layers.0.mlp.down_proj/rows-64-128`
    static func tensorName(_ stage: StagePlan, _ tile: Int) -> String {
        let tile = stage.tiles[tile]
        return "\(stage.linears[tile.linear].linear.name)/rows-\(tile.rows.lowerBound)-\(tile.rows.upperBound)"
    }

    /// Writes the bytes of tiles of one block; they are committed when the journal says so.
    package static func write(_ tiles: [(key: TileKey, bytes: Matrix<UInt8>)], of block: BlockPlan, to path: String, planHash: String) throws -> WrittenFile {
        let named = Dictionary(uniqueKeysWithValues: tiles.map { (tensorName(block.stages[$0.key.stage], $0.key.tile), $0.bytes) })
        let writer = try SafetensorsWriter(
            path: path, tensors: named.map { try TensorDescription(name: $0.key, type: .u8, shape: [$0.value.count]) }, metadata: ["plan": planHash])
        do {
            for entry in writer.entries {
                try named[entry.name]?.withBytes { try writer.append(UnsafeRawBufferPointer($0), to: entry.name) }
            }
            return try writer.finish()
        } catch {
            writer.abandon()
            throw error
        }
    }
}

/// The committed tiles of a run, found by their place in the plan.
package struct CommittedTiles: Sendable {
    private let files: [TileKey: String]
    private let directory: String
    private let plan: Plan

    package init(_ entries: [JournalEntry], _ plan: Plan, _ work: WorkDirectory) {
        var files: [TileKey: String] = [:]
        for entry in entries {
            for run in entry.tiles {
                for tile in run.first..<run.first + run.count { files[TileKey(block: entry.block, stage: run.stage, tile: tile)] = entry.file }
            }
        }
        self.files = files
        self.plan = plan
        directory = work.partialCheckpoints
    }

    private init(files: [TileKey: String], _ other: CommittedTiles) {
        (self.files, plan, directory) = (files, other.plan, other.directory)
    }

    /// The same run with no tile committed.
    package var none: CommittedTiles { CommittedTiles(files: [:], self) }

    package var count: Int { files.count }

    package func contains(_ key: TileKey) -> Bool { files[key] != nil }

    /// The entries of each compressed linear in tensors that are as long as weights make them, in the plan's order; 0 of those that have none. Every rank reads the counts of its share of the linears.
    func entries(world: Communicator) throws -> [Int] {
        var counts = [Int](repeating: 0, count: plan.compressedLinears.count)
        try world.together(exitCode: exitCode) { () throws in
            var place = 0
            for (block, stages) in plan.blocks.map(\.stages).enumerated() {
                for (index, stage) in stages.enumerated() {
                    for linear in stage.linears.indices where stage.linears[linear].treatment != nil {
                        defer { place += 1 }
                        guard place % world.size == world.rank else { continue }
                        counts[place] = try stage.tiles(of: linear).reduce(0) { try $0 + entries(TileKey(block: block, stage: index, tile: $1)) }
                    }
                }
            }
        }
        try world.allReduceSum(&counts)
        return counts
    }

    /// The entries of a committed tile: the rest of it is not read.
    private func entries(_ key: TileKey) throws -> Int {
        let layout = plan.blocks[key.block].stages[key.stage].layout(of: key.tile), part = layout.entryCounts
        guard !part.isEmpty else { return 0 }
        let (name, partial) = try find(key, layout)
        return try partial.withBytes(of: name, bytes: part) { bytes in
            (0..<layout.rows).reduce(0) { $0 + Int(bytes.loadUnaligned(fromByteOffset: 4 * $1, as: UInt32.self)) }
        }
    }

    /// The file of a tile, and its name there.
    private func find(_ key: TileKey, _ layout: TileLayout) throws -> (name: String, file: SafetensorsFile) {
        let name = PartialCheckpoint.tensorName(plan.blocks[key.block].stages[key.stage], key.tile)
        guard let file = files[key] else { throw PipelineError(.internalError, "tile \(name) is not committed") }
        let partial = try PartialFiles.open(directory + "/" + file)
        guard let found = partial.tensors[name]?.description, found.byteCount == layout.byteCount else {
            throw PipelineError(.badInput, "\(directory)/\(file): tile \(name) is missing or not \(layout.byteCount) bytes long")
        }
        return (name, partial)
    }

    /// Reads one committed tile.
    package func read(_ key: TileKey) throws -> EncodedTile {
        let layout = plan.blocks[key.block].stages[key.stage].layout(of: key.tile)
        let (name, partial) = try find(key, layout)
        let bytes = Matrix<UInt8>(uninitialized: 1, layout.byteCount)
        try bytes.withBytes { try partial.read(name, into: $0) }
        let tile = EncodedTile(layout: layout, bytes: bytes)
        guard tile.hasValidGroups else { throw PipelineError(.badInput, "\(partial.path): tile \(name) has columns of groups that it does not have") }
        guard tile.hasValidCodes else { throw PipelineError(.badInput, "\(partial.path): tile \(name) has codes or outliers that no such tile has") }
        return tile
    }
}

extension StagePlan {
    /// The layout of an encoded tile.
    package func layout(of tile: Int) -> TileLayout {
        let tile = tiles[tile]
        let linear = linears[tile.linear]
        guard let content = linear.content else { preconditionFailure("a tile of a linear that keeps its weights") }
        return TileLayout(rows: tile.rows.count, columns: columns, content: content, pruning: linear.pruning)
    }
}
