// Whether a disk has room for a file, asked before the work and not after it.

internal import Glibc

enum FreeSpace {
    /// Refuses a file that its disk has no room for. Other writers may take the room later, which is why every write is checked too.
    /// - Throws: `.diskFull`
    static func check(_ descriptor: CInt, path: String, for byteCount: Int) throws(SafetensorsError) {
        var status = statvfs()
        // File systems that do not count blocks report none at all.
        guard fstatvfs(descriptor, &status) == 0, status.f_blocks > 0 else { return }
        let (free, overflow) = status.f_bavail.multipliedReportingOverflow(by: status.f_frsize)
        guard !overflow, free < UInt(clamping: byteCount) else { return }
        throw SafetensorsError(
            .diskFull, path: path,
            """
            The file takes \(byteCount) bytes, and the disk has \(free) free. Free space there, or write to \
            another disk.
            """)
    }
}
