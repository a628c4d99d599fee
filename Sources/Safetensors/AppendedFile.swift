// A file that grows by whole entries, each durable before the next.

internal import Glibc

/// Appends to a file; what was appended is on disk when `append` returns.
public struct AppendedFile: Sendable {
    public let path: String

    /// Opens nothing yet.
    public init(path: String) {
        self.path = path
    }

    /// Adds bytes at the end, and makes them and the file's name durable.
    /// - Throws: `.diskFull`, `.notWritable`; a part of the entry may then stand at the end of the file.
    public func append(_ entry: [UInt8]) throws(SafetensorsError) {
        let descriptor = retryingOnInterrupt { open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666) }
        guard descriptor >= 0 else { throw SystemFailure.writing(path, "open the file", errno) }
        defer { close(descriptor) }
        var rest = entry[...]
        while !rest.isEmpty {
            let count = retryingOnInterrupt { rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } }
            guard count >= 0 else { throw SystemFailure.writing(path, "append", errno) }
            rest = rest.dropFirst(count)
        }
        guard retryingOnInterrupt({ fsync(descriptor) }) == 0 else { throw SystemFailure.writing(path, "make the file durable (fsync)", errno) }
        try FilePath.makeNameDurable(path)
    }
}
