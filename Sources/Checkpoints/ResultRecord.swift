// Which files of an output directory Cleave has made or is about to make: no others are ever touched.

internal import Failures
internal import Foundation
internal import Glibc
internal import Safetensors

/// OUTPUT/cleave/result.json: the names of the files that a merge or a conversion writes, recorded before the first of them.
struct ResultRecord: Sealed {
    var files: [String]
    var seal: String?

    init(files: [String]) {
        self.files = files.sorted()
    }

    /// nil when there is none, or a damaged one.
    static func read(_ work: WorkDirectory) -> ResultRecord? {
        FileManager.default.contents(atPath: work.result).flatMap(ResultRecord.init(sealedJSON:))
    }
}

extension WorkDirectory {
    /// The names of files in the output directory that are Cleave's: what its manifest and the record of its result name.
    private func ownNames() -> Set<String> {
        var names = Set(ResultRecord.read(self)?.files ?? [])
        if let known = try? Manifest.read(output) { names.formUnion(known.files.map(\.name) + [Manifest.fileName]) }
        return names
    }

    /// Makes sure that the output directory holds nothing but what Cleave made there.
    /// - Throws: `PipelineError` (73) that names what it holds besides.
    package func refuseForeignFiles() throws {
        let own = ownNames()
        let foreign = try names(in: output).filter { name in
            // The folder of work; what NFS calls a file that was removed while open; and what some file systems have in their root.
            !(name == "cleave" && isDirectory(path)) && !name.hasPrefix(".nfs") && name != "lost+found"
                && !own.contains(name) && !(AtomicFile.finalName(name).map(own.contains) ?? false)
        }
        guard let first = foreign.first else { return }
        let list = foreign.prefix(10).joined(separator: ", ") + (foreign.count > 10 ? " and \(foreign.count - 10) more" : "")
        throw PipelineError(
            .cannotWrite,
            "\(output) holds what Cleave did not make: \(list). It would lie among the files of the result; move \(foreign.count == 1 ? first : "these") away, "
                + "or give another output directory")
    }

    /// Takes away what makes the directory look finished, config.json first, and files of an earlier result that are not written again; then says which
    /// files the result will have. The coordinator's task, before the first of them is written.
    ///
    /// - Throws: `PipelineError` (73) when a file of that name has come into the directory that is not Cleave's.
    func beginResult(_ files: [String]) throws {
        let own = ownNames(), present = try names(in: output)
        if let foreign = present.first(where: { files.contains($0) && !own.contains($0) }) {
            throw PipelineError(
                .cannotWrite, "\(output)/\(foreign) was put there while the run was at work, and a file of the result has its name; move it away and run again")
        }
        let stale = own.subtracting(files).sorted()
        for name in ["config.json", Manifest.fileName, ShardIndex.fileName] + stale where present.contains(name) && own.contains(name) {
            do {
                try FileManager.default.removeItem(atPath: output + "/" + name)
            } catch {
                throw PipelineError(.cannotWrite, "cannot remove \(output)/\(name): \(error.localizedDescription)")
            }
        }
        try AtomicFile.write(ResultRecord(files: files).sealedJSON(pretty: true), to: result)
    }

    /// The names in a directory, sorted; none where it does not exist.
    private func names(in directory: String) throws -> [String] {
        guard isDirectory(directory) else { return [] }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        } catch {
            throw PipelineError(.cannotWrite, "cannot list \(directory): \(error.localizedDescription)")
        }
    }

    private func isDirectory(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }

    // MARK: - Clearing away

    /// Takes away what killed runs of this directory have left half written, and partial checkpoints that no journal names.
    ///
    /// - Parameter journaled: partial checkpoints by name.
    func removeLeftovers(journaled: Set<String>) {
        let own = ownNames()
        remove(in: output) { AtomicFile.finalName($0).map(own.contains) ?? false }
        remove(in: path) { AtomicFile.finalName($0).map(workFiles.contains) ?? false }
        remove(in: partialCheckpoints) { PartialCheckpoint.isFileName(AtomicFile.finalName($0) ?? $0) && !journaled.contains($0) }
    }

    /// Partial checkpoints and journals are of no use once the result is verified.
    package func removePartialCheckpoints() {
        // Journals first: what they name is there for as long as they are.
        remove(in: journals, where: JournalWriter.isFileName)
        remove(in: partialCheckpoints) { PartialCheckpoint.isFileName(AtomicFile.finalName($0) ?? $0) }
        // They stay where somebody else keeps something in them.
        for directory in [journals, partialCheckpoints] { rmdir(directory) }
    }

    private func remove(in directory: String, where isOwn: (String) -> Bool) {
        for name in (try? names(in: directory)) ?? [] where isOwn(name) { unlink(directory + "/" + name) }
    }
}
