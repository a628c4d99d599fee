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
        case .numpy:
            let array = try NumpyArray(path: path)
            return try stored(array.count, vocabularySize) { try array.values($0) }
        case .safetensors:
            let (file, tensor) = try tensorOfIDs()
            let width = tensor.type.bits / 8
            return try stored(tensor.shape[0], vocabularySize) { range in
                try file.withBytes(of: tensor.name, bytes: width * range.lowerBound..<width * range.upperBound) { tensor.type.integers($0) }
            }
        }
    }

    /// Ids that a file holds, some at a time.
    private func stored(_ count: Int, _ vocabularySize: Int, _ values: (Range<Int>) throws -> [Int64]) throws -> TokenStore {
        guard count > 0 else { throw PipelineError(.badInput, "\(path) holds no ids") }
        var ids = TokenStore()
        let most = 1 << 18
        for start in stride(from: 0, to: count, by: most) {
            try ids.append(checked(narrowed(values(start..<min(start + most, count)), from: start), from: start, vocabularySize))
        }
        return ids
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
    private func tensorOfIDs() throws -> (file: SafetensorsFile, tensor: TensorDescription) {
        let file = try SafetensorsFile(path: path)
        guard file.tensors.count == 1, let name = file.tensors.keys.first, let tensor = file.tensors[name]?.description else {
            throw PipelineError(.badInput, "\(path): expected one tensor of ids, found \(file.tensors.count)")
        }
        guard tensor.shape.count == 1, tensor.type == .i32 || tensor.type == .i64 else {
            throw PipelineError(.badInput, "\(path): tensor \(name) must be 1-D I32 or I64, found \(tensor.type.rawValue) \(tensor.shape)")
        }
        return (file, tensor)
    }

    /// - Parameter start: the place of the first id among all.
    private func narrowed(_ ids: [Int64], from start: Int) throws -> [Int32] {
        try ids.enumerated().map { position, id in
            guard let narrow = Int32(exactly: id) else {
                throw PipelineError(.badInput, "\(path): id \(id) at position \(start + position) is no token id")
            }
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

/// The ids of a file of text as the tokenizer of a model, or of a tokenizer.json, gives them. However many they are, some MiB of text and 8 MiB of ids are in memory.
///
/// - Parameters:
///   - field: of documents, or the column of a table, that holds the text; nil: `text`.
///   - tokenizer: a tokenizer.json, or a model directory that holds one.
///   - addSpecialTokens: puts around each document what the tokenizer's post-processor has for it.
package func tokenIDs(ofText path: String, field: String? = nil, tokenizer: String, addSpecialTokens: Bool) throws -> TokenStore {
    var isDirectory: ObjCBool = false
    let isModel = FileManager.default.fileExists(atPath: tokenizer, isDirectory: &isDirectory) && isDirectory.boolValue
    let text = try TextSource(path: path, field: field)
    let tokenizer = try readTokenizer(isModel ? tokenizer + "/tokenizer.json" : tokenizer)
    var ids = TokenStore()
    try text.forEachIDs(tokenizer, addSpecialTokens: addSpecialTokens) { own in
        try ids.append(own)
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
