// The two things this room does with paths: taking the directory and adding a name.

enum FilePath {
    /// Everything before the last name: "a" for "a/b", "." for "b", "/" for "/b".
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func join(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }
}
