// What journals say of a run's progress, for those who only look.

internal import Foundation

extension Journal {
    /// Committed work by the journals of all ranks and attempts.
    struct Progress {
        var tiles: Set<TileKey> = []
        /// When the last line was written.
        var lastCommit: Date?
    }

    /// Reads whole lines of a run; those that are cut off, damaged, or another run's are passed over. Partial checkpoints are not looked at.
    ///
    /// - Parameter identity: of the run.
    static func progress(_ work: WorkDirectory, _ identity: RunIdentity) -> Progress {
        var progress = Progress()
        for (name, _) in (try? files(work)) ?? [] {
            let path = work.journals + "/" + name
            // A run may take its journals away while they are read.
            guard let lines = try? entries(path) else { continue }
            for entry in lines.compactMap({ $0 }) where entry.identity == identity {
                for run in entry.tiles {
                    for tile in 0..<run.count { progress.tiles.insert(TileKey(block: entry.block, stage: run.stage, tile: run.first + tile)) }
                }
            }
            if let date = try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date {
                progress.lastCommit = max(progress.lastCommit ?? date, date)
            }
        }
        return progress
    }
}
