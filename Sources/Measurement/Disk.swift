// How fast all ranks read and write a directory at once.

internal import Glibc
internal import MessagePassing
internal import Safetensors
internal import Sharding

extension Measurement {
    private static let fileBytes = 128 << 20

    /// Every rank writes a file of its own as results are written, and reads it back past the page cache.
    func measureDisk(_ directory: String, _ rates: inout MachineProfile.Rates) throws {
        let path = "\(directory)/cleave-bench-\(world.rank)"
        defer { unlink(path) }
        let bytes = [UInt8](repeating: 0xa5, count: Self.fileBytes)
        rates.diskWrite = Double(Self.fileBytes) / (try watch.seconds { try AtomicFile.write(bytes, to: path) })
        rates.diskRead =
            Double(Self.fileBytes)
            / (try watch.seconds {
                forget(path)
                _ = try Checksum.ofFile(path)
            })
    }

    /// Takes a file out of the page cache, where the system can.
    private func forget(_ path: String) {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        close(descriptor)
    }
}
