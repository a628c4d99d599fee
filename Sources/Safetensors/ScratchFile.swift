// Room on a disk for what does not fit into memory; nothing of it outlives the process.

internal import Glibc

/// A file without a name, read and written at any place.
public final class ScratchFile: Sendable {
    /// Where the file lies, for messages.
    private let directory: String
    private let descriptor: CInt

    /// Makes a file that is to take `byteCount` bytes in a directory.
    /// - Throws: `.diskFull`, `.notWritable`
    public init(directory: String, byteCount: Int) throws(SafetensorsError) {
        self.directory = directory
        var template = Array("\(directory)/cleave-scratch-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw SystemFailure.writing(directory, "create a scratch file", errno) }
        // Without a name it goes with the process, however that ends.
        unlink(template)
        try FreeSpace.check(descriptor, path: directory, for: byteCount)
    }

    deinit {
        close(descriptor)
    }

    /// - Throws: `.diskFull`, `.notWritable`
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SafetensorsError) {
        var done = 0
        while done < bytes.count {
            let count = retryingOnInterrupt { pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, offset + done) }
            guard count >= 0 else { throw SystemFailure.writing(directory, "write a scratch file", errno) }
            done += count
        }
    }

    /// Fills `buffer` with what was written from `offset` on.
    /// - Throws: `.notReadable`
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) {
        var done = 0
        while done < buffer.count {
            let count = retryingOnInterrupt { pread(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + done) }
            guard count > 0 else { throw SystemFailure.reading(directory, "read a scratch file in", count < 0 ? errno : EIO) }
            done += count
        }
    }
}
