// Making a file's name durable.

import Glibc

extension FilePath {
    /// Makes the names in the directory of `path` durable: they are written on their own, apart from the files.
    static func makeNameDurable(_ path: String) throws(SafetensorsError) {
        let directory = directory(of: path)
        let handle = retryingOnInterrupt { open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard handle >= 0 else { throw SystemFailure.writing(directory, "open the directory", errno) }
        defer { close(handle) }
        // Some file systems refuse to synchronise directories, with EINVAL, because they need not.
        if retryingOnInterrupt({ fsync(handle) }) != 0, errno != EINVAL {
            throw SystemFailure.writing(directory, "make the directory durable (fsync)", errno)
        }
    }
}
