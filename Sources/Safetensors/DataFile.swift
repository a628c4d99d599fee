// A read-only file of known size, read by mapping or by positioned reads.

import Glibc

/// How a file's data is brought into memory.
public enum Access: String, Sendable, Codable {
    /// The file is mapped: no copy, pages shared between the processes of a node. The file must not shrink meanwhile:
    /// touching a page past its end ends the process (SIGBUS).
    case mapped
    /// Every read is a `pread` into the caller's memory; survives a shrinking file with an error.
    case pread
}

/// An open regular file; closed and unmapped when released.
package final class DataFile: Sendable {
    package let path: String
    /// As it was when it was opened.
    let stamp: FileStamp
    private let descriptor: CInt
    private let mapping: Mapping?

    /// Never written through, so threads may share it.
    private struct Mapping: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        let bytes: UnsafeRawBufferPointer
    }

    /// - Throws: `.missing`, `.notPermitted`, `.notReadable`; `.malformed` if the path is not a regular file.
    package init(path: String, access: Access) throws(SafetensorsError) {
        // A named pipe that nobody writes to would otherwise keep the call for ever; on regular files the flag does nothing.
        let descriptor = retryingOnInterrupt { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        guard descriptor >= 0 else { throw SystemFailure.reading(path, "open", errno) }
        do {
            let stamp = try FileStamp(descriptor, path: path)
            self.mapping = try access == .mapped ? Self.map(descriptor, stamp.byteCount, path: path) : nil
            self.stamp = stamp
        } catch {
            close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
    }

    package var byteCount: Int { stamp.byteCount }

    deinit {
        if let mapping { munmap(mapping.base, mapping.bytes.count) }
        close(descriptor)
    }

    /// Fills `buffer` with the file's bytes from `offset` on.
    /// - Throws: `.notReadable`, also when the file has become shorter than that.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) {
        if let mapping {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: mapping.bytes[offset..<offset + buffer.count]))
            letGo(offset..<offset + buffer.count)
        } else {
            try readFromDisk(at: offset, into: buffer)
        }
    }

    /// Takes some bytes of a mapping out of this process, whose memory they count as; they stay in the system's cache for all processes of the node.
    /// Small readings too: a model has many of them.
    private func letGo(_ range: Range<Int>) {
        guard let mapping else { return }
        // The system maps neighbours of a page that is touched, as far as one table of pages reaches.
        let table: UInt = 2 << 20
        let base = UInt(bitPattern: mapping.base)
        let start = max((base + UInt(range.lowerBound)) / table * table, base)
        let end = min((base + UInt(range.upperBound) + table - 1) / table * table, base + UInt(mapping.bytes.count))
        if start < end { madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED) }
    }

    /// Asks the system to bring bytes into its cache of files, and does not wait for them.
    func readAhead(_ range: Range<Int>) {
        posix_fadvise(descriptor, range.lowerBound, range.count, POSIX_FADV_WILLNEED)
    }

    /// Positioned reads whatever the access, so that a header of a file that shrinks gives an error and not a signal.
    package func readFromDisk(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = retryingOnInterrupt { pread(descriptor, rest.baseAddress, rest.count, offset + done) }
            guard count >= 0 else { throw SystemFailure.reading(path, "read", errno) }
            guard count > 0 else {
                throw SafetensorsError(
                    .notReadable, path: path,
                    "The file ends at byte \(offset + done); it had \(byteCount) bytes when it was opened.")
            }
            done += count
        }
    }

    /// A new array of `count` bytes from `offset` on, by positioned reads.
    package func bytes(at offset: Int, count: Int) throws(SafetensorsError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: SafetensorsError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(SafetensorsError) {
                try readFromDisk(at: offset, into: buffer)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Calls `body` with the bytes of `range`: the mapping itself, or a buffer that lives for the call.
    func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        if let mapping {
            defer { letGo(range) }
            return try body(UnsafeRawBufferPointer(rebasing: mapping.bytes[range]))
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 64)
        defer { buffer.deallocate() }
        try readFromDisk(at: range.lowerBound, into: buffer)
        return try body(UnsafeRawBufferPointer(buffer))
    }

    private static func map(_ descriptor: CInt, _ byteCount: Int, path: String) throws(SafetensorsError) -> Mapping? {
        guard byteCount > 0 else { return nil }
        let base = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
        guard let base, base != MAP_FAILED else { throw SystemFailure.reading(path, "map", errno) }
        return Mapping(base: base, bytes: UnsafeRawBufferPointer(start: base, count: byteCount))
    }
}
