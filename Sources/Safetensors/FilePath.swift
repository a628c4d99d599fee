// The three things this room does with paths: taking the directory, adding a name, and asking whether a file exists.

import Glibc

enum FilePath {
    /// Everything before the last name: "a" for "a/b", "." for "b", "/" for "/b".
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func join(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }
}
