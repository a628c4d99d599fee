// Open partial checkpoints: merging asks for the tiles of one file again and again.

internal import Safetensors
internal import Synchronization

/// The last few partial checkpoints that were read, kept open.
enum PartialFiles {
    private static let limit = 64
    private static let cache = Mutex<[(path: String, file: SafetensorsFile)]>([])

    static func open(_ path: String) throws -> SafetensorsFile {
        if let found = cache.withLock({ $0.first { $0.path == path }?.file }) { return found }
        let file = try SafetensorsFile(path: path)
        cache.withLock { cache in
            if cache.count >= limit { cache.removeFirst() }
            cache.append((path, file))
        }
        return file
    }
}
