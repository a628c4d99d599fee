// What journals say of a run's progress, for those who only look.

package import Foundation

extension Journal {
    /// Committed work by the journals of all ranks and attempts.
    package struct Progress {
        package var tiles: Set<TileKey> = []
        /// When the last line was written.
        package var lastCommit: Date?
    }

    /// Reads whole lines of a run; those that are cut off, damaged, or another run's are passed over, and so are those whose partial checkpoint is missing or
    /// has another size. Checksums are left to the run that goes on.
    ///
    /// - Parameters:
    ///   - identity: of the run.
    ///   - tiles: of the whole run, by block and stage.
    package static func progress(_ work: WorkDirectory, _ identity: RunIdentity, tiles: [[Int]]) -> Progress {
        var progress = Progress()
        for (name, _) in (try? files(work)) ?? [] {
            let path = work.journals + "/" + name
            // A run may take its journals away while they are read.
            guard let lines = try? entries(path) else { continue }
            for entry in lines.compactMap({ $0 }) where entry.identity == identity && tiles.indices.contains(entry.block) && entry.hasFile(in: work) {
                for run in entry.tiles where tiles[entry.block].indices.contains(run.stage) {
                    for tile in (0..<tiles[entry.block][run.stage]).clamped(to: run.tiles) {
                        progress.tiles.insert(TileKey(block: entry.block, stage: run.stage, tile: tile))
                    }
                }
            }
            if let date = try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date {
                progress.lastCommit = max(progress.lastCommit ?? date, date)
            }
        }
        return progress
    }
}
