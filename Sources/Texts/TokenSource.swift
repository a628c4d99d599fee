// A file of text or of token ids, whichever its content says it is, as ids.

internal import Failures
internal import Foundation
internal import Safetensors
internal import Tokenizers

/// A file that holds text or ids.
struct TokenSource {
    private enum Content {
        case text(TextSource)
        case numpy
        case safetensors
    }

    private let path: String
    private let content: Content

    var isText: Bool { if case .text = content { true } else { false } }

    /// Looks at the file's name and first bytes.
    /// - Parameter field: as of `TextSource`.
    /// - Throws: for everything that is no regular file of text or ids, saying what it is; for a field of ids.
    init(path: String, field: String? = nil) throws {
        self.path = path
        let start = try InputFile.start(of: path)
        guard !start.isEmpty else { throw PipelineError(.badInput, "\(path) is empty") }
        if start.starts(with: [0x93] + Array("NUMPY".utf8)) {
            content = .numpy
        } else {
            content =
                switch fileExtension(path) {
                case "npy": .numpy
                case "safetensors": .safetensors
                default: .text(try TextSource(path: path, field: field))
                }
        }
        if let field, !isText { throw PipelineError(.badInput, "\(path) holds ids, which have no field `\(field)`; leave `field` out") }
    }

    /// The ids of the file, or at least the first `atLeast` of them.
    ///
    /// - Parameters:
    ///   - tokenizer: path of a tokenizer.json, read for texts alone.
    ///   - addSpecialTokens: puts around each document of a text what the tokenizer's post-processor has for it.
    func ids(tokenizer: String, addSpecialTokens: Bool = false, atLeast: Int, vocabularySize: Int) throws -> TokenStore {
        switch content {
        case .text(let text):
            return try encode(text, readTokenizer(tokenizer), addSpecialTokens: addSpecialTokens, atLeast: atLeast, vocabularySize: vocabularySize)
        case .numpy: return TokenStore(try checked(narrowed(NumpyArray(path: path).values), from: 0, vocabularySize))
        case .safetensors: return TokenStore(try checked(narrowed(integers()), from: 0, vocabularySize))
        }
    }

    /// - Parameter start: the place of the first id among all.
    private func checked(_ ids: [Int32], from start: Int, _ vocabularySize: Int) throws -> [Int32] {
        if let position = ids.firstIndex(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw PipelineError(
                .badInput,
                "\(path): id \(ids[position]) at position \(start + position) is outside the model's vocabulary of \(vocabularySize); "
                    + "the ids were made with another tokenizer")
        }
        return ids
    }

    private func encode(
        _ text: TextSource, _ tokenizer: Tokenizer, addSpecialTokens: Bool, atLeast: Int, vocabularySize: Int
    ) throws -> TokenStore {
        if addSpecialTokens, try tokenizer.encode("", addSpecialTokens: true).isEmpty {
            throw PipelineError(.badInput, "the model's tokenizer.json puts no special tokens around a text; leave `special_tokens` out")
        }
        var ids = TokenStore()
        try text.forEachIDs(tokenizer, addSpecialTokens: addSpecialTokens) { own in
            try ids.append(checked(own, from: ids.count, vocabularySize))
            return ids.count < atLeast
        }
        guard ids.count > 0 else { throw PipelineError(.badInput, "\(path) holds no text") }
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

/// Reads a tokenizer.json.
///
/// - Throws: as `Tokenizer`, and for a file that is missing what to do about it.
func readTokenizer(_ path: String) throws -> Tokenizer {
    let bytes: [UInt8]
    do {
        bytes = try InputFile.json(of: path)
    } catch {
        guard error.kind == .missing else { throw error }
        let directory = (path as NSString).deletingLastPathComponent
        let others = ["tokenizer.model", "vocab.json", "spiece.model", "tokenizer.tiktoken"]
        guard let other = others.first(where: { FileManager.default.fileExists(atPath: directory + "/" + $0) }) else {
            throw PipelineError(
                .missingInput,
                "\(path) is missing, and texts need it: take it from the model's repository, or give ids (.npy or .safetensors) in place of a text")
        }
        throw PipelineError(
            .missingInput,
            "\(path) is missing, and \(other) beside it is in a format that Cleave does not read. Convert it: `python -c 'import sys, transformers; "
                + "transformers.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])' \(directory)`, or give ids (.npy) in place of a text")
    }
    return try Tokenizer(json: Data(bytes), name: path)
}

/// The ids of a file of text as the tokenizer of a model, or of a tokenizer.json, gives them.
///
/// - Parameters:
///   - field: of documents, or the column of a table, that holds the text; nil: `text`.
///   - tokenizer: a tokenizer.json, or a model directory that holds one.
///   - addSpecialTokens: puts around each document what the tokenizer's post-processor has for it.
public func tokenIDs(ofText path: String, field: String? = nil, tokenizer: String, addSpecialTokens: Bool) throws -> [Int32] {
    var isDirectory: ObjCBool = false
    let isModel = FileManager.default.fileExists(atPath: tokenizer, isDirectory: &isDirectory) && isDirectory.boolValue
    let text = try TextSource(path: path, field: field)
    let tokenizer = try readTokenizer(isModel ? tokenizer + "/tokenizer.json" : tokenizer)
    var ids: [Int32] = []
    try text.forEachIDs(tokenizer, addSpecialTokens: addSpecialTokens) { own in
        ids += own
        return true
    }
    return ids
}

extension TextSource {
    /// Calls `body` with the ids of all documents, some at a time, until it returns false.
    ///
    /// - Parameter addSpecialTokens: puts around each document what the tokenizer's post-processor has for it.
    fileprivate func forEachIDs(_ tokenizer: Tokenizer, addSpecialTokens: Bool, _ body: ([Int32]) throws -> Bool) throws {
        var encoding = TextEncoding(tokenizer, addSpecialTokens: addSpecialTokens)
        try forEachPart { part, isLast in
            var ids = try encoding.append(part.utf8)
            if isLast { ids += try encoding.finish() }
            return try body(ids)
        }
    }
}
