// What this room does with paths: taking the directory, adding a name, telling names from paths, existence, links.

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

    /// What a symbolic link says; nil for everything else.
    package static func linkTarget(_ path: String) -> String? {
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &target, target.count)
        return count > 0 ? String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }
}
