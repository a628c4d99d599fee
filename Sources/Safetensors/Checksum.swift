// XXH3-64 checksums of streams and files.

internal import CXXHash

/// A running XXH3-64 checksum (xxHash, seed 0), the one that `xxhsum -H3` prints.
public struct Checksum: ~Copyable {
    private let state: OpaquePointer

    public init() {
        // Null only when 576 bytes of memory cannot be had.
        guard let state = XXH3_createState() else { fatalError("out of memory for a checksum") }
        XXH3_64bits_reset(state)
        self.state = state
    }

    deinit {
        XXH3_freeState(state)
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        // Of all arguments only a null pointer is refused, and that stands for no bytes.
        guard let base = bytes.baseAddress else { return }
        XXH3_64bits_update(state, base, bytes.count)
    }

    /// Of all bytes so far; more may follow.
    public var digest: UInt64 { XXH3_64bits_digest(state) }

    /// The digest as 16 hexadecimal digits.
    public var hexDigest: String {
        let digits = String(digest, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The hexadecimal digest of bytes in memory.
    public static func of(_ bytes: UnsafeRawBufferPointer) -> String {
        var checksum = Checksum()
        checksum.update(bytes)
        return checksum.hexDigest
    }

    /// The hexadecimal digest of a whole file.
    /// - Parameter examine: is given every piece, and its place in the file.
    /// - Throws: `.missing`, `.notReadable`; `.malformed` if it is not a regular file.
    public static func ofFile(_ path: String, examine: (Int, UnsafeRawBufferPointer) -> Void = { _, _ in }) throws(SafetensorsError) -> String {
        let file = try DataFile(path: path, access: .pread)
        return try of(file, bytes: 0..<file.byteCount, examine).hexDigest
    }

    /// The digest of some bytes of a file.
    /// - Throws: as `ofFile`; `.notReadable` if the file ends before the range does.
    public static func ofFile(
        _ path: String, bytes: Range<Int>, examine: (Int, UnsafeRawBufferPointer) -> Void = { _, _ in }
    ) throws(SafetensorsError) -> UInt64 {
        try of(DataFile(path: path, access: .pread), bytes: bytes, examine).digest
    }

    /// The version of xxHash that was loaded: "0.8.1".
    public static let library: String = {
        let version = XXH_versionNumber()
        return "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
    }()

    /// Bytes of the pieces in which files are read.
    public static let pieceBytes = 8 << 20

    private static func of(
        _ file: DataFile, bytes: Range<Int>, _ examine: (Int, UnsafeRawBufferPointer) -> Void
    ) throws(SafetensorsError) -> Checksum {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(pieceBytes, max(bytes.count, 1)), alignment: 4096)
        defer { buffer.deallocate() }
        var checksum = Checksum()
        for offset in stride(from: bytes.lowerBound, to: bytes.upperBound, by: buffer.count) {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, bytes.upperBound - offset)])
            try file.readFromDisk(at: offset, into: piece)
            checksum.update(UnsafeRawBufferPointer(piece))
            examine(offset, UnsafeRawBufferPointer(piece))
        }
        return checksum
    }
}
