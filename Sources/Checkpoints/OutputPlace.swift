// Where a result may be written: a directory of its own, away from the model that it is made from.

internal import Failures
internal import Foundation
internal import Glibc
internal import Safetensors

/// Checks of an output path, before anything is made there.
public enum OutputPlace {
    /// - Parameters:
    ///   - output: the directory of the result, as the user gave it.
    ///   - model: the directory of the source.
    /// - Throws: `PipelineError` (73) for a place where a result would mix with something else.
    package static func check(_ output: String, model: String) throws {
        func refusal(_ problem: String) -> PipelineError {
            PipelineError(.cannotWrite, "the output directory \(output.isEmpty ? "\"\"" : output) \(problem); give a directory of its own")
        }
        guard !output.isEmpty else { throw refusal("has no name") }
        if let target = FilePath.linkTarget(output), access(output, F_OK) != 0 { throw refusal("is a link to \(target), which does not exist") }
        var isDirectory: ObjCBool = false
        if FileManager.default.fileExists(atPath: output, isDirectory: &isDirectory), !isDirectory.boolValue { throw refusal("is a file") }
        let (place, source) = (components(output), components(model))
        if place.isEmpty { throw refusal("is the root of the file system") }
        if place == source { throw refusal("is the model's own, \(model)") }
        if place.starts(with: source) { throw refusal("lies inside the model's, \(model)") }
        if source.starts(with: place) { throw refusal("holds the model, \(model)") }
    }

    /// Whether two paths lead to the same file.
    public static func isSame(_ first: String, _ second: String) -> Bool { components(first) == components(second) }

    /// The names on the way to a place, links followed as far as it exists.
    private static func components(_ path: String) -> [String] {
        var rest: [String] = []
        var existing = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        while true {
            if let resolved = realpath(existing, nil) {
                defer { free(resolved) }
                let names = String(cString: resolved).split(separator: "/").map(String.init) + rest
                // What does not exist has no links, so that two dots mean the name before them.
                return names.reduce(into: []) { names, name in
                    switch name {
                    case ".": break
                    case "..": _ = names.popLast()
                    default: names.append(name)
                    }
                }
            }
            guard let slash = existing.lastIndex(of: "/"), existing != "/" else { return rest }
            let name = String(existing[existing.index(after: slash)...])
            if !name.isEmpty { rest.insert(name, at: 0) }
            existing = slash == existing.startIndex ? "/" : String(existing[..<slash])
        }
    }
}
