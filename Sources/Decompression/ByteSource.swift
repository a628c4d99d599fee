// Bytes that are read from their beginning to their end, and never held all at once.

package import Safetensors

/// A stream of bytes.
package protocol ByteSource: AnyObject {
    /// Fills the start of a buffer that is not empty.
    ///
    /// - Returns: the bytes that were filled, 0 at the end alone.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) -> Int
}

/// The bytes of a file as they are.
package final class FileBytes: ByteSource {
    package let path: String
    private let file: DataFile
    private var offset = 0

    /// - Throws: `.missing`, `.notPermitted`, `.notReadable`; `.malformed` for what is no regular file.
    package init(path: String) throws(SafetensorsError) {
        self.path = path
        file = try DataFile(path: path, access: .pread)
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) -> Int {
        let count = min(buffer.count, file.byteCount - offset)
        try file.readFromDisk(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        offset += count
        return count
    }
}
