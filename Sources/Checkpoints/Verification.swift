// Checking a finished checkpoint: every file's bytes, every tensor's place and shape, every tensor exactly once.

internal import Failures
internal import Foundation
public import MessagePassing
internal import Models
public import Recipes
internal import Reporting
internal import Safetensors
internal import Transformers

/// What verification found; the checkpoint is sound when there are no problems.
public struct VerificationResult: Codable, Sendable {
    public var files: Int
    public var tensors: Int
    public var bytes: Int
    public var problems: [String]
}

/// Verifies a checkpoint directory against its manifest; files are spread over the ranks.
///
/// - Returns: the same result on every rank.
public func verify(_ directory: String, world: Communicator) throws -> VerificationResult {
    let manifest = try world.fromCoordinator(exitCode: exitCode) { try Manifest.read(directory) }
    let numbers = try numberCheck(directory, world: world)
    var problems: [String] = []
    for (index, file) in manifest.files.enumerated() where index % world.size == world.rank {
        if let problem = check(file, in: directory, numbers) { problems.append(problem) }
    }
    let gathered = try world.gather([UInt8](JSONEncoder().encode(problems)))
    return try world.fromCoordinator(exitCode: exitCode) {
        var all = try gathered.flatMap { try JSONDecoder().decode([String].self, from: Data($0)) }
        // A file that cannot be trusted would only repeat itself below.
        if all.isEmpty { all += try coverageProblems(manifest, directory) + strangers(manifest, directory) }
        return VerificationResult(
            files: manifest.files.count, tensors: manifest.tensors.count, bytes: manifest.byteCount, problems: all)
    }
}

/// What looks at the numbers of a checkpoint; nil where its index or its configuration cannot be read, which is a problem of its own.
private func numberCheck(_ directory: String, world: Communicator) throws -> NumberCheck? {
    struct Contents: Codable {
        var configuration: [UInt8]
        var index: CheckpointIndex
    }
    let contents = try world.fromCoordinator(exitCode: exitCode) { () -> Contents? in
        guard let data = FileManager.default.contents(atPath: directory + "/config.json"), let index = try? CheckpointIndex(directory: directory) else {
            return nil
        }
        return Contents(configuration: [UInt8](data), index: index)
    }
    guard let contents,
        let architecture = try? Architecture(
            configuration: Data(contents.configuration), source: directory + "/config.json", tensors: Set(contents.index.tensors.keys))
    else { return nil }
    return NumberCheck(contents.index, architecture)
}

private func check(_ file: Manifest.File, in directory: String, _ numbers: NumberCheck?) -> String? {
    let path = directory + "/" + file.name
    guard let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int else { return "\(path): missing" }
    guard size == file.bytes else { return "\(path): \(size) bytes, the manifest says \(file.bytes)" }
    do {
        let place = numbers?.file(file.name)
        var problem: String?
        let checksum = try Checksum.ofFile(path) { offset, bytes in
            guard problem == nil, let numbers, let place, let found = numbers.firstNotFinite(file: place, at: offset, bytes) else { return }
            problem = numbers.problem(file: place, place: found)
        }
        return checksum == file.xxh3 ? problem : "\(path): checksum \(checksum), the manifest says \(file.xxh3)"
    } catch {
        return "\(error)"
    }
}

private func coverageProblems(_ manifest: Manifest, _ directory: String) throws -> [String] {
    if manifest.isGGUF { return manifest.ggufProblems(directory) }
    let index: CheckpointIndex
    do {
        index = try CheckpointIndex(directory: directory)
    } catch {
        return ["\(error)"]
    }
    var problems: [String] = []
    for (name, expected) in manifest.tensors.sorted(by: { $0.key < $1.key }) {
        guard let found = index.tensors[name] else {
            problems.append("tensor \(name) is missing")
            continue
        }
        let file = index.files[found.file].name
        if found.description.shape != expected.shape || found.description.type.rawValue != expected.type || file != expected.file {
            problems.append(
                "tensor \(name) is \(found.description.type.rawValue) \(found.description.shape) in \(file), "
                    + "the manifest says \(expected.type) \(expected.shape) in \(expected.file)")
        }
    }
    for name in index.tensors.keys.sorted() where manifest.tensors[name] == nil { problems.append("tensor \(name) is not in the manifest") }
    return problems
}

/// Files of weights that the manifest does not name and that clients may read in place of those that it does, or stumble over.
private func strangers(_ manifest: Manifest, _ directory: String) throws -> [String] {
    let known = Set(manifest.files.map(\.name))
    let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    return names.filter { $0.hasSuffix(".safetensors") && !known.contains($0) }.compactMap { name -> String? in
        let path = directory + "/" + name
        do {
            let held = try SafetensorsFile(path: path, access: .pread).tensors.keys.filter { manifest.tensors[$0] != nil }.sorted()
            guard let first = held.first else { return nil }
            return
                "\(path) is not in the manifest and holds \(held.count) tensors of the same names, such as \(first): clients may read them instead; remove it"
        } catch {
            return "\(path) is not in the manifest and cannot be read: clients that read every file of weights would stumble over it; remove it (\(error))"
        }
    }
}

/// What was done to the linears of a checkpoint, by their names; nil when it has no manifest.
public func treatments(_ directory: String) throws -> [String: Treatment]? {
    guard FileManager.default.fileExists(atPath: Manifest.path(in: directory)) else { return nil }
    return try Manifest.read(directory).linears
}
