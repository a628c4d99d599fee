// What the tests of this room share: a folder that cleans up after itself, and files made byte by byte.

import Foundation

import Safetensors

/// A fresh folder, removed with its contents when released.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("safetensors-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        self.path = url.path
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ bytes: [UInt8], as name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
        return file(name)
    }

    var contents: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }
}

/// A safetensors file's bytes: the header's length, the header as given, and data of consecutive byte values.
func fileBytes(header: [UInt8], dataCount: Int = 0) -> [UInt8] {
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    return length + header + (0..<dataCount).map { UInt8(truncatingIfNeeded: $0) }
}

func fileBytes(header: String, dataCount: Int = 0) -> [UInt8] {
    fileBytes(header: Array(header.utf8), dataCount: dataCount)
}

/// Writes a file of the given tensors; byte i of each tensor is i + seed.
@discardableResult
func writeSample(
    _ path: String, _ tensors: [(name: String, type: ElementType, shape: [Int])], seed: Int = 0,
    metadata: [String: String] = [:]
) throws -> WrittenFile {
    let descriptions = try tensors.map { try TensorDescription(name: $0.name, type: $0.type, shape: $0.shape) }
    let writer = try SafetensorsWriter(path: path, tensors: descriptions, metadata: metadata)
    while let tensor = writer.currentTensor {
        try sampleBytes(tensor, seed: seed).withUnsafeBytes { try writer.append($0, to: tensor.name) }
    }
    return try writer.finish()
}

func sampleBytes(_ tensor: TensorDescription, seed: Int = 0) -> [UInt8] {
    // By doubling, because a loop over 20 MiB takes seconds in a debug build.
    var bytes = (0..<256).map { UInt8(truncatingIfNeeded: $0 + seed) }
    while bytes.count < tensor.byteCount { bytes += bytes }
    return Array(bytes.prefix(tensor.byteCount))
}

extension SafetensorsFile {
    func bytes(of name: String, range: Range<Int>? = nil) throws -> [UInt8] {
        var result = [UInt8](repeating: 0xee, count: range?.count ?? tensors[name]?.bytes.count ?? 0)
        try result.withUnsafeMutableBytes { try read(name, bytes: range, into: $0) }
        return result
    }
}

/// The error that `body` throws, or nil.
func failure<R>(_ body: () throws -> R) -> SafetensorsError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? SafetensorsError
    }
}

/// Larger files that live outside the repository, in the folder that CLEAVE_ASSETS names.
enum Assets {
    static let model: String? = {
        let root = ProcessInfo.processInfo.environment["CLEAVE_ASSETS"] ?? "../shared"
        let path = "\(root)/models/wikillama/model.safetensors"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }()
}
