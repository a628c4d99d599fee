// From text to token ids as a Hugging Face tokenizer.json prescribes.

public import Foundation
internal import RegularExpressions
import Synchronization

/// A byte-pair encoding tokenizer: byte-level (GPT-2, Llama 3, Qwen 2, SmolLM 2) or SentencePiece-like with byte fallback (Llama 2,
/// Mistral).
///
/// Ids are those of the reference library (huggingface/tokenizers). A file with a component or setting that this type does not
/// implement is refused, never approximated.
public struct Tokenizer: Sendable {
    /// One past the largest token id, counting added tokens: the least number of embedding rows that a model needs.
    public let vocabularySize: Int

    /// Positions among the units of a text are 32-bit, and a byte has two units at most.
    static let largestText = 1 << 30

    private let name: String
    private let rawTokens: AddedTokenSplitter
    private let normalizer: Normalizer
    private let normalizedTokens: AddedTokenSplitter
    private let preTokenizer: PreTokenizer
    private let model: BytePairModel
    private let postProcessor: PostProcessor
    private let workspaces = WorkspacePool()

    /// Reads the contents of a `tokenizer.json`.
    /// - Parameter name: stands for the file in errors.
    /// - Throws: `TokenizerError` where it is malformed, or asks for something unsupported.
    public init(json: Data, name: String) throws(TokenizerError) {
        let root = try JSONNode(json: [UInt8](json), file: name)
        try Self.checkFrame(root)

        let modelNode = try root.required("model")
        let vocabulary = try BytePairModel.vocabulary(modelNode)
        let tokensNode = try root.optional("added_tokens")
        let tokens = try AddedToken.read(tokensNode, vocabulary: vocabulary)

        self.name = name
        rawTokens = AddedTokenSplitter(raw: tokens)
        normalizer = try Normalizer(try root.optional("normalizer"))
        normalizedTokens = try AddedTokenSplitter(normalized: tokens, normalizer: normalizer, at: tokensNode ?? root)
        preTokenizer = try PreTokenizer(try root.optional("pre_tokenizer"), after: normalizer)
        model = try BytePairModel(modelNode, alphabet: preTokenizer.alphabet, vocabulary: vocabulary)
        postProcessor = try PostProcessor(try root.optional("post_processor"))
        vocabularySize = Int(max(vocabulary.values.max() ?? -1, tokens.last?.id ?? -1)) + 1
    }

    /// The ids of `text`.
    /// - Parameter addSpecialTokens: puts the post-processor's special tokens (such as BOS) around the text. Special tokens spelt out
    ///   in the text itself are always recognised.
    /// - Throws: `TokenizerError` where the regular expression engine gives up on the text, or the text is larger than 1 GiB.
    public func encode(_ text: String, addSpecialTokens: Bool = false) throws(TokenizerError) -> [Int32] {
        let ids = try encode(Array(text.utf8), from: .ofText)
        return addSpecialTokens ? postProcessor.prefix + ids + postProcessor.suffix : ids
    }

    /// What stands around a text that gets special tokens.
    var specialTokens: (prefix: [Int32], suffix: [Int32]) { (postProcessor.prefix, postProcessor.suffix) }

    /// The ids of a text, or of a part of one.
    ///
    /// - Parameter beginning: what its first byte begins.
    func encode(_ bytes: [UInt8], from beginning: SectionBeginning) throws(TokenizerError) -> [Int32] {
        var ids: [Int32] = []
        ids.reserveCapacity(bytes.count / 3)
        var workspace = workspaces.take()
        defer { workspaces.put(workspace) }
        for part in rawTokens.split(bytes) {
            if let id = part.id {
                ids.append(id)
            } else {
                let raw = part.range.count == bytes.count ? bytes : Array(bytes[part.range])
                try encode(raw, from: part.range.lowerBound == 0 ? beginning : .ofSection, with: &workspace, into: &ids)
            }
        }
        return ids
    }

    /// Encodes text that holds no added token of the raw kind.
    private func encode(
        _ raw: [UInt8], from beginning: SectionBeginning, with workspace: inout BytePairModel.Workspace, into ids: inout [Int32]
    ) throws(TokenizerError) {
        let text = try reportingFailure { () throws(RegularExpression.Failure) in try normalizer.normalize(raw, from: beginning) }
        for part in normalizedTokens.split(text) {
            if let id = part.id {
                ids.append(id)
                continue
            }
            var pieces = PreTokenizer.Pieces(
                text: part.range.count == text.count ? text : Array(text[part.range]),
                beginning: part.range.lowerBound == 0 ? beginning : .ofSection)
            try reportingFailure { () throws(RegularExpression.Failure) in try preTokenizer.apply(to: &pieces) }
            guard pieces.text.count <= Self.largestText else {
                throw failure("it is \(pieces.text.count) bytes long; cut it into documents of at most \(Self.largestText)")
            }
            pieces.text.withUnsafeBufferPointer { text in
                for range in pieces.ranges where !range.isEmpty {
                    model.encode(UnsafeBufferPointer(rebasing: text[range]), with: &workspace, into: &ids)
                }
            }
        }
    }

    private func reportingFailure<Result>(
        _ body: () throws(RegularExpression.Failure) -> Result
    ) throws(TokenizerError) -> Result {
        do {
            return try body()
        } catch {
            throw failure("a step of this tokenizer gave up on it: \(error.message)")
        }
    }

    func failure(_ reason: String) -> TokenizerError {
        TokenizerError(file: name, place: "", problem: "a text cannot be encoded: \(reason).")
    }

    /// Checks what surrounds the components.
    private static func checkFrame(_ root: JSONNode) throws(TokenizerError) {
        // The decoder turns ids into text, which this room never does.
        try root.allowOnly([
            "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
            "model",
        ])
        let version = try root.required("version")
        guard try version.string() == "1.0" else { throw version.error("expected \"1.0\", found \"\(try version.string())\".") }
        // What clients do with one text: they take back what the file asks for before they encode (transformers'
        // `set_truncation_and_padding`), so that a text has all of its ids and no others.
        for key in ["truncation", "padding"] { _ = try root.optional(key)?.members() }
    }
}

/// Workspaces not in use, so that texts encoded one after another share a word cache and concurrent ones do not wait.
private final class WorkspacePool: Sendable {
    private let free = Mutex<[BytePairModel.Workspace]>([])

    func take() -> BytePairModel.Workspace {
        free.withLock { $0.popLast() } ?? BytePairModel.Workspace()
    }

    func put(_ workspace: BytePairModel.Workspace) {
        var workspace = workspace
        workspace.releaseLargeScratch()
        free.withLock { $0.append(workspace) }
    }
}
