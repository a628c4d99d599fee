// What this room does with paths: taking the directory, adding a name, telling names from paths, existence, making a name durable.

import Glibc

package enum FilePath {
    /// Everything before the last name: "a" for "a/b", "." for "b", "/" for "/b".
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func join(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    /// Whether `name`, as another file gives it, can only mean a file inside the directory that it is joined to.
    package static func isName(_ name: String) -> Bool {
        // By bytes: a slash before a combining mark is no character "/", and C's paths end at a zero.
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/")) && !name.utf8.contains(0)
    }

    static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

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
