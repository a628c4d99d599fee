// From a calibration or evaluation source to sequences of token ids.

internal import Foundation
public import Recipes
internal import Safetensors
internal import Tokenizers

/// Token ids cut into sequences of equal length.
public struct TokenSequences: Codable, Sendable, Equatable {
    public var sequences: [[Int32]]
    /// XXH3 of all ids as little-endian int32, one sequence after the other.
    public var hash: String

    init(_ sequences: [[Int32]]) {
        self.sequences = sequences
        var checksum = Checksum()
        for sequence in sequences {
            sequence.map(\.littleEndian).withUnsafeBytes { checksum.update($0) }
        }
        hash = checksum.hexDigest
    }
}

extension TokenSequences {
    /// Loads, cuts and samples the sequences of a calibration.
    ///
    /// - Parameters:
    ///   - tokenizer: path of the model's tokenizer.json, used for texts.
    ///   - vocabularySize: ids must lie below it.
    public static func load(_ calibration: Calibration, tokenizer: String, vocabularySize: Int) throws -> TokenSequences {
        let source = try TokenSource(path: calibration.source)
        let sampling = calibration.sampling ?? (source.isText ? .random : .consecutive)
        // Random sampling looks at everything; consecutive sequences need only the beginning.
        let needed = sampling == .consecutive ? (calibration.skip + calibration.sequences) * calibration.length : Int.max
        let ids = try source.ids(tokenizer: tokenizer, atLeast: needed, vocabularySize: vocabularySize)
        let available = ids.count / calibration.length
        let wanted = calibration.sequences + (sampling == .consecutive ? calibration.skip : 0)
        guard available >= wanted else {
            throw PipelineError(
                .badInput,
                "\(calibration.source) has \(ids.count) tokens, enough for \(available) sequences of \(calibration.length); \(wanted) are asked for "
                    + "(mend `calibration.sequences`, `length` or `skip`, or give a longer source)")
        }
        let chosen =
            switch sampling {
            case .consecutive: Array(calibration.skip..<calibration.skip + calibration.sequences)
            case .random: sample(calibration.sequences, of: available, seed: calibration.seed)
            }
        return TokenSequences(chosen.map { Array(ids[$0 * calibration.length..<($0 + 1) * calibration.length]) })
    }

    /// The non-overlapping windows of an evaluation, from the start; the tokens after the last whole window are left out.
    public static func windows(source path: String, length: Int, count: Int?, tokenizer: String, vocabularySize: Int) throws -> TokenSequences {
        let needed = count.map { $0 * length } ?? Int.max
        let ids = try TokenSource(path: path).ids(tokenizer: tokenizer, atLeast: needed, vocabularySize: vocabularySize)
        let available = ids.count / length
        guard available >= max(count ?? 1, 1) else {
            throw PipelineError(
                .badInput, "\(path) has \(ids.count) tokens, enough for \(available) windows of \(length); \(count ?? 1) are asked for")
        }
        return TokenSequences((0..<(count ?? available)).map { Array(ids[$0 * length..<($0 + 1) * length]) })
    }

    /// `count` different numbers below `total`, drawn with a seed, in the order drawn.
    static func sample(_ count: Int, of total: Int, seed: UInt64) -> [Int] {
        var generator = SplitMix64(state: seed)
        var numbers = Array(0..<total)
        for index in 0..<count {
            numbers.swapAt(index, Int.random(in: index..<total, using: &generator))
        }
        return Array(numbers.prefix(count))
    }
}

/// A generator whose numbers depend on the seed alone (Steele, Lea, Flood 2014).
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// A file that holds text or ids.
private struct TokenSource {
    enum Kind { case text, jsonLines, numpy, safetensors }

    let path: String
    let kind: Kind

    var isText: Bool { kind == .text || kind == .jsonLines }

    init(path: String) throws {
        self.path = path
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw PipelineError(.missingInput, "cannot read \(path): \(FileManager.default.fileExists(atPath: path) ? "permission denied" : "no such file")")
        }
        var isDirectory: ObjCBool = false
        guard !FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) || !isDirectory.boolValue else {
            throw PipelineError(.badInput, "\(path) is a directory; a file of text or ids is needed")
        }
        kind =
            switch (path as NSString).pathExtension.lowercased() {
            case "jsonl": .jsonLines
            case "npy": .numpy
            case "safetensors": .safetensors
            default: .text
            }
    }

    /// The ids of the file, or at least the first `atLeast` of them.
    func ids(tokenizer: String, atLeast: Int, vocabularySize: Int) throws -> [Int32] {
        let ids: [Int32]
        switch kind {
        case .text:
            ids = try Tokenizer(path: tokenizer).encode(text())
        case .jsonLines:
            ids = try jsonLines(Tokenizer(path: tokenizer), atLeast: atLeast)
        case .numpy:
            ids = try narrowed(NumpyArray(path: path).values)
        case .safetensors:
            ids = try narrowed(integers())
        }
        if let position = ids.firstIndex(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw PipelineError(
                .badInput,
                "\(path): id \(ids[position]) at position \(position) is outside the model's vocabulary of \(vocabularySize); "
                    + "the ids were made with another tokenizer")
        }
        return ids
    }

    private func text() throws -> String {
        let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        guard let text = String(validating: data, as: UTF8.self) else { throw PipelineError(.badInput, "\(path) is not valid UTF-8") }
        guard !text.isEmpty else { throw PipelineError(.badInput, "\(path) is empty") }
        return text
    }

    private struct Record: Decodable {
        var text: String
    }

    private func jsonLines(_ tokenizer: Tokenizer, atLeast: Int) throws -> [Int32] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        let decoder = JSONDecoder()
        var ids: [Int32] = []
        for (number, line) in data.split(separator: UInt8(ascii: "\n")).enumerated() where !line.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) {
            guard let record = try? decoder.decode(Record.self, from: line) else {
                throw PipelineError(.badInput, "\(path): record \(number + 1) is not a JSON object with a `text` field")
            }
            ids += try tokenizer.encode(record.text)
            if ids.count >= atLeast { break }
        }
        guard !ids.isEmpty else { throw PipelineError(.badInput, "\(path) holds no text") }
        return ids
    }

    /// The one tensor of a safetensors file of ids.
    private func integers() throws -> [Int64] {
        let file = try SafetensorsFile(path: path)
        guard file.tensors.count == 1, let name = file.tensors.keys.first, let tensor = file.tensors[name]?.description else {
            throw PipelineError(.badInput, "\(path): expected one tensor of ids, found \(file.tensors.count)")
        }
        guard tensor.shape.count == 1, tensor.type == .i32 || tensor.type == .i64 else {
            throw PipelineError(.badInput, "\(path): tensor \(name) must be 1-D I32 or I64, found \(tensor.type.rawValue) \(tensor.shape)")
        }
        return try file.withBytes(of: name) { bytes in
            tensor.type == .i32
                ? (0..<tensor.shape[0]).map { Int64(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))) }
                : (0..<tensor.shape[0]).map { Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
        }
    }

    private func narrowed(_ ids: [Int64]) throws -> [Int32] {
        guard !ids.isEmpty else { throw PipelineError(.badInput, "\(path) holds no ids") }
        return try ids.enumerated().map { position, id in
            guard let narrow = Int32(exactly: id) else { throw PipelineError(.badInput, "\(path): id \(id) at position \(position) is no token id") }
            return narrow
        }
    }
}
