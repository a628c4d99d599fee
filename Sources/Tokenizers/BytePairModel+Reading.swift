// Reading the `model` of a tokenizer.json.

internal import JSON

extension BytePairModel {
    init(_ node: JSONNode, alphabet: PreTokenizer.Alphabet, vocabulary: [[UInt8]: Int32]) throws(TokenizerError) {
        let unknown = try Self.unknown(node, vocabulary: vocabulary)
        let byteTokens =
            try node.bool("byte_fallback", default: false)
            ? (0...255).map { vocabulary[Array("<0x\(hexadecimal($0))>".utf8)] ?? -1 } : []
        units = UnitTable(
            alphabet: alphabet, vocabulary: vocabulary,
            fallback: .init(bytes: byteTokens, unknown: unknown, fuses: try node.bool("fuse_unk", default: false)))
        merges = try Self.merges(
            try node.required("merges"), vocabulary: vocabulary, opaqueUnits: Set(byteTokens + [unknown ?? -1]))

        guard try node.bool("ignore_merges", default: false) else {
            wholeWords = [:]
            longestWholeWord = 0
            return
        }
        switch alphabet {
        case .characters: wholeWords = vocabulary
        case .bytes:
            var words: [[UInt8]: Int32] = [:]
            for (spelling, id) in vocabulary {
                if let bytes = ByteAlphabet.decode(spelling) { words[bytes] = id }
            }
            wholeWords = words
        }
        longestWholeWord = wholeWords.keys.lazy.map(\.count).max() ?? 0
    }

    /// Checks that the model is one that this room encodes exactly as the reference does, and reads its vocabulary.
    static func vocabulary(_ node: JSONNode) throws(TokenizerError) -> [[UInt8]: Int32] {
        // The oldest files do not name the type.
        let type = try node.optional("type")?.string() ?? "BPE"
        guard type == "BPE" else { throw node.unsupported(type: type, supported: "BPE") }
        try node.allowOnly([
            "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
            "ignore_merges", "vocab", "merges",
        ])
        if let dropout = try node.optional("dropout") {
            throw dropout.error("BPE dropout makes ids random and is not supported; set it to null.")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = try node.optional(key), try !affix.text().isEmpty {
                throw affix.error("only null or \"\" is supported, found \"\(try affix.string())\".")
            }
        }
        return try readVocabulary(try node.required("vocab"))
    }

    private static func readVocabulary(_ node: JSONNode) throws(TokenizerError) -> [[UInt8]: Int32] {
        let members = try node.members()
        var vocabulary = [[UInt8]: Int32](minimumCapacity: members.count)
        for member in members {
            let entry = JSONNode(file: node.file, place: "\(node.place)[\"\(member.key)\"]", value: member.value)
            guard vocabulary.updateValue(try entry.tokenID(), forKey: Array(member.key.utf8)) == nil else {
                throw entry.error("the token is given twice.")
            }
        }
        return vocabulary
    }

    private static func unknown(_ node: JSONNode, vocabulary: [[UInt8]: Int32]) throws(TokenizerError) -> Int32? {
        guard let token = try node.optional("unk_token") else { return nil }
        guard let id = vocabulary[try token.text()] else {
            throw token.error("the unknown token \"\(try token.string())\" is not in the vocabulary.")
        }
        return id
    }

    private static func merges(
        _ node: JSONNode, vocabulary: [[UInt8]: Int32], opaqueUnits: Set<Int32>
    ) throws(TokenizerError) -> MergeTable {
        guard let elements = node.value.array else { throw node.error("expected an array, found \(node.value.kind).") }
        var list: [(left: Int32, right: Int32, result: Int32)] = []
        list.reserveCapacity(elements.count)
        var edges: [Int32: (first: Int32, last: Int32)] = [:]
        for (index, element) in elements.enumerated() {
            guard let (left, right) = try pair(element, at: index, of: node) else { continue }
            let ids = (vocabulary[left], vocabulary[right], vocabulary[left + right])
            guard let leftID = ids.0, let rightID = ids.1, let result = ids.2 else {
                let missing = ids.0 == nil ? left : ids.1 == nil ? right : left + right
                throw JSONNode(file: node.file, place: "\(node.place)[\(index)]", value: element)
                    .error("the token \"\(String(decoding: missing, as: UTF8.self))\" is not in the vocabulary.")
            }
            list.append((leftID, rightID, result))
            edges[leftID] = edges[leftID] ?? Self.edges(of: left, vocabulary: vocabulary)
            edges[rightID] = edges[rightID] ?? Self.edges(of: right, vocabulary: vocabulary)
        }
        return MergeTable(list, edges: { edges[$0] ?? (-1, -1) }, opaqueUnits: opaqueUnits)
    }

    /// A merge is spelt "left right" or ["left", "right"]. Nil for the line `#version...` that old files carry along.
    private static func pair(
        _ element: JSONValue, at index: Int, of node: JSONNode
    ) throws(TokenizerError) -> (left: [UInt8], right: [UInt8])? {
        switch element {
        case .string(let line):
            if line.utf8.starts(with: "#version".utf8) { return nil }
            let parts = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            if parts.count == 2 { return (Array(parts[0]), Array(parts[1])) }
        case .array(let parts):
            if parts.count == 2, let left = parts[0].string, let right = parts[1].string { return (Array(left.utf8), Array(right.utf8)) }
        default: break
        }
        throw JSONNode(file: node.file, place: "\(node.place)[\(index)]", value: element)
            .error("expected a merge, spelt \"left right\" or [\"left\", \"right\"].")
    }

    private static func edges(of spelling: [UInt8], vocabulary: [[UInt8]: Int32]) -> (first: Int32, last: Int32) {
        let scalars = String(decoding: spelling, as: UTF8.self).unicodeScalars
        func id(_ scalar: Unicode.Scalar?) -> Int32 {
            scalar.flatMap { vocabulary[Array(String(Character($0)).utf8)] } ?? -1
        }
        return (id(scalars.first), id(scalars.last))
    }
}

private func hexadecimal(_ byte: Int) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return digits.count == 1 ? "0" + digits : digits
}
