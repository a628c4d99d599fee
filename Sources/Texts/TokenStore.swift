// Token ids of a source, however many: the first in memory, all of them on disk once they are too many for that.

internal import Foundation
internal import Safetensors

/// Ids in the order of their text.
package struct TokenStore {
    package private(set) var count = 0
    private var resident: [Int32]
    private var file: ScratchFile?
    /// Ids in the file; those in memory come behind them.
    private var stored = 0

    /// Ids that rest in memory: 8 MiB of them.
    package static let most = 2 << 20

    package init(_ ids: [Int32] = []) {
        resident = ids
        count = ids.count
    }

    /// - Parameter most: ids that may rest in memory.
    /// - Throws: `.diskFull`, `.notWritable` when the system's folder for temporary files (TMPDIR) does not take them.
    package mutating func append(_ ids: [Int32], most: Int = Self.most) throws {
        resident += ids
        count += ids.count
        guard resident.count > most else { return }
        let file = try self.file ?? ScratchFile(directory: FileManager.default.temporaryDirectory.path, byteCount: 0)
        try resident.withUnsafeBytes { try file.write($0, at: stored * MemoryLayout<Int32>.size) }
        stored += resident.count
        resident.removeAll(keepingCapacity: true)
        self.file = file
    }

    /// - Throws: when the disk fails.
    package subscript(range: Range<Int>) -> [Int32] {
        get throws {
            let onDisk = range.clamped(to: 0..<stored)
            var ids = [Int32](repeating: 0, count: onDisk.count)
            try ids.withUnsafeMutableBytes { try file?.read(at: onDisk.lowerBound * MemoryLayout<Int32>.size, into: $0) }
            let inMemory = range.clamped(to: stored..<count)
            return ids + resident[inMemory.lowerBound - stored..<inMemory.upperBound - stored]
        }
    }
}
