// Files for the readers that take a path, in the folder that TMPDIR names.

import Foundation

enum Scratch {
    static let folder = FileManager.default.temporaryDirectory.path

    /// Replaces a file of the folder; returns its path.
    static func write(_ bytes: [UInt8], to name: String) -> String {
        let path = "\(folder)/\(name)"
        guard let file = fopen(path, "w") else { fatalError("cannot write \(path)") }
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fclose(file) == 0 else { fatalError("cannot write \(path)") }
        return path
    }

    static func makeFolder(_ name: String) -> String {
        let path = "\(folder)/\(name)"
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            fatalError("cannot make \(path): \(error)")
        }
        return path
    }
}
