// Size and times of a file: what tells a file that was changed from one that was not, without reading it.

internal import Glibc

/// A regular file as it was at some moment.
public struct FileStamp: Codable, Equatable, Sendable {
    public let byteCount: Int
    /// Nanoseconds since 1970: of the last change of the content, which programs can set.
    public let modified: Int
    /// Nanoseconds since 1970: of the last change of the inode, which no program can set back.
    public let changed: Int

    public init(byteCount: Int, modified: Int, changed: Int) {
        self.byteCount = byteCount
        self.modified = modified
        self.changed = changed
    }

    /// - Throws: `.missing`, `.notPermitted`, `.notReadable`; `.malformed` if the path is not a regular file.
    public init(path: String) throws(SafetensorsError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw SystemFailure.reading(path, "examine", errno) }
        try self.init(status, path: path)
    }

    init(_ descriptor: CInt, path: String) throws(SafetensorsError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw SystemFailure.reading(path, "examine", errno) }
        try self.init(status, path: path)
    }

    private init(_ status: stat, path: String) throws(SafetensorsError) {
        if let kind = Self.kind(status.st_mode) {
            throw SafetensorsError(.malformed, path: path, "This is \(kind); a regular file is needed.")
        }
        byteCount = Int(status.st_size)
        modified = Self.nanoseconds(status.st_mtim)
        changed = Self.nanoseconds(status.st_ctim)
    }

    /// Whether another stamp has the same size and the same time of the content's last change.
    func hasSameContentTime(as other: FileStamp) -> Bool { byteCount == other.byteCount && modified == other.modified }

    /// What is said of a file that was this and has become another.
    public func changed(to other: FileStamp, path: String) -> SafetensorsError {
        let found =
            byteCount == other.byteCount
            ? "its time of change is another than when this run began (\(byteCount) bytes)"
            : "it had \(byteCount) bytes when this run began and has \(other.byteCount)"
        return SafetensorsError(
            .malformed, path: path, "The file was changed while it was in use: \(found). What was read of it cannot be trusted. Leave it alone, and run again.")
    }

    private static func nanoseconds(_ time: timespec) -> Int { Int(time.tv_sec) &* 1_000_000_000 &+ Int(time.tv_nsec) }

    /// What a path leads to; nil for a regular file.
    private static func kind(_ mode: mode_t) -> String? {
        switch mode & S_IFMT {
        case S_IFREG: nil
        case S_IFDIR: "a directory"
        case S_IFIFO: "a pipe"
        case S_IFSOCK: "a socket"
        default: "a device"
        }
    }
}
