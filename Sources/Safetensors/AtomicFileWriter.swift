// Writes a file so that it appears whole or not at all, with a checksum taken on the way.

internal import Glibc

/// A file that has been written, for journals and later verification.
public struct WrittenFile: Sendable, Equatable, Codable {
    public let path: String
    public let byteCount: Int
    /// XXH3-64 of the whole file, 16 hexadecimal digits.
    public let checksum: String

    package init(path: String, byteCount: Int, checksum: String) {
        self.path = path
        self.byteCount = byteCount
        self.checksum = checksum
    }
}

/// Streams bytes to `PATH.tmp-PID`, which `finish` makes durable and renames to `PATH`.
///
/// Any failure removes the temporary file and ends the writer. So does releasing it unfinished. A temporary file left
/// by a killed process of the same number is overwritten; one that is being written is refused.
public final class AtomicFileWriter {
    public let path: String
    /// Bytes taken so far, written or buffered.
    public private(set) var byteCount = 0
    private let temporaryPath: String
    private var descriptor: CInt
    private var checksum = Checksum()
    private let buffer: UnsafeMutableRawBufferPointer
    private var buffered = 0

    /// Between a file's name and the number of the process that writes it.
    static let temporarySuffix = ".tmp-"
    private static let bufferSize = 8 << 20

    /// - Parameter expectedByteCount: if given, a disk with less free space than this is refused at once, before the
    ///   work and not after it.
    /// - Throws: `.notWritable`, `.diskFull`
    public init(path: String, expectedByteCount: Int? = nil) throws(SafetensorsError) {
        self.path = path
        self.temporaryPath = "\(path)\(Self.temporarySuffix)\(getpid())"
        let temporaryPath = temporaryPath
        self.descriptor = retryingOnInterrupt { open(temporaryPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666) }
        let openError = errno
        // Large appends go past the buffer, and untouched pages of it cost nothing.
        self.buffer = .allocate(byteCount: Self.bufferSize, alignment: 4096)
        guard descriptor >= 0 else { throw SystemFailure.writing(path, "create the temporary file", openError) }
        try claim()
        if let expectedByteCount {
            do {
                try FreeSpace.check(descriptor, path: path, for: expectedByteCount)
            } catch {
                abandon()
                throw error
            }
        }
    }

    deinit {
        abandon()
        buffer.deallocate()
    }

    /// Adds bytes at the end.
    /// - Throws: `.diskFull`, `.notWritable`; the temporary file is gone then.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(SafetensorsError) {
        try checkIsOpen()
        byteCount += bytes.count
        if bytes.count > buffer.count - buffered { try flush() }
        if bytes.count >= buffer.count {
            try write(bytes)
        } else if !bytes.isEmpty {
            UnsafeMutableRawBufferPointer(rebasing: buffer[buffered..<buffered + bytes.count]).copyMemory(from: bytes)
            buffered += bytes.count
        }
    }

    /// Writes what is buffered, makes the file durable and gives it its name.
    /// - Throws: `.diskFull`, `.notWritable`; the temporary file is gone then.
    public func finish() throws(SafetensorsError) -> WrittenFile {
        try checkIsOpen()
        try flush()
        guard retryingOnInterrupt({ fsync(descriptor) }) == 0 else { throw failure("make the file durable (fsync)") }
        // Network file systems report a full disk as late as here.
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0 else { throw failure("close the file", removing: true) }
        guard rename(temporaryPath, path) == 0 else { throw failure("rename the finished file", removing: true) }
        try FilePath.makeNameDurable(path)
        return WrittenFile(path: path, byteCount: byteCount, checksum: checksum.hexDigest)
    }

    /// Removes the temporary file; harmless after `finish` or a failure.
    public func abandon() {
        guard descriptor >= 0 else { return }
        unlink(temporaryPath)
        close(descriptor)
        descriptor = -1
    }
}

// MARK: - System calls

extension AtomicFileWriter {
    /// Makes sure that no other writer has the temporary file, and empties what a killed one left.
    private func claim() throws(SafetensorsError) {
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
            // Not ours, so it must not be removed.
            close(descriptor)
            descriptor = -1
            throw SafetensorsError(.notWritable, path: path, "The file is being written by another writer already.")
        }
        guard ftruncate(descriptor, 0) == 0 else { throw failure("empty the temporary file") }
    }

    private func flush() throws(SafetensorsError) {
        let pending = UnsafeRawBufferPointer(rebasing: buffer[..<buffered])
        buffered = 0
        try write(pending)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(SafetensorsError) {
        checksum.update(bytes)
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = retryingOnInterrupt { Glibc.write(descriptor, rest.baseAddress, rest.count) }
            guard count >= 0 else { throw failure("write") }
            done += count
        }
    }

    private func checkIsOpen() throws(SafetensorsError) {
        guard descriptor >= 0 else {
            throw SafetensorsError(
                .invalidRequest, path: path, "The writer has ended already, by finish, abandon or a failure.")
        }
    }

    /// The error for what errno says now, after clearing away.
    private func failure(_ action: String, removing: Bool = false) -> SafetensorsError {
        let error = SystemFailure.writing(path, action, errno)
        if removing { unlink(temporaryPath) }
        abandon()
        return error
    }
}
