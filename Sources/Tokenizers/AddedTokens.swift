// Added tokens: spellings that are found in the text before the model sees it, and become one id each.

/// One entry of `added_tokens`.
struct AddedToken: Sendable {
    let content: [UInt8]
    let id: Int32
    /// Only where no word character stands on either side.
    let singleWord: Bool
    /// Takes the white space on its left (or right) with it.
    let stripsLeft: Bool
    let stripsRight: Bool
    /// Sought in the normalized text, by its normalized spelling, instead of in the raw text.
    let isNormalized: Bool
}

/// Cuts a text at the added tokens in it. Of several that begin at the same place the longest wins.
struct AddedTokenSplitter: Sendable {
    /// A stretch of text, or an added token found there.
    struct Part: Equatable {
        let range: Range<Int>
        let id: Int32?
    }

    private let tokens: [AddedToken]
    private var trie = ByteTrie()

    /// - Parameter spellings: the bytes to look for, one for each token.
    init(tokens: [AddedToken], spellings: [[UInt8]]) {
        self.tokens = tokens
        for (index, spelling) in spellings.enumerated() { trie.insert(spelling, value: Int32(index)) }
    }

    func split(_ text: [UInt8]) -> [Part] {
        guard !tokens.isEmpty else { return text.isEmpty ? [] : [Part(range: 0..<text.count, id: nil)] }
        return text.withUnsafeBufferPointer(split)
    }

    private func split(_ text: UnsafeBufferPointer<UInt8>) -> [Part] {
        var parts: [Part] = []
        var taken = 0
        var position = 0
        while position < text.count {
            guard let match = trie.longestMatch(in: text, at: position) else {
                position += 1
                continue
            }
            // Matches never overlap, even with one that is rejected as part of a word.
            position = match.end
            let token = tokens[Int(match.value)]
            let range = match.start..<match.end
            if token.singleWord, Self.isInsideWord(range, in: text) { continue }
            let start = token.stripsLeft ? max(taken, Self.startOfSpace(before: range.lowerBound, in: text)) : range.lowerBound
            let end = token.stripsRight ? Self.endOfSpace(after: range.upperBound, in: text) : range.upperBound
            if taken < start { parts.append(Part(range: taken..<start, id: nil)) }
            // A token of white space may find that the one before it has taken all of it.
            if start < end { parts.append(Part(range: start..<end, id: token.id)) }
            taken = end
        }
        if taken < text.count { parts.append(Part(range: taken..<text.count, id: nil)) }
        return parts
    }

    private static func isInsideWord(_ range: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> Bool {
        let wordBefore =
            range.lowerBound > 0
            && UTF8Scalars.scalar(in: text, endingAt: range.lowerBound).scalar.isWordCharacter
        let wordAfter =
            range.upperBound < text.count
            && UTF8Scalars.scalar(in: text, at: range.upperBound).scalar.isWordCharacter
        return wordBefore || wordAfter
    }

    private static func startOfSpace(before position: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
        var start = position
        while start > 0 {
            let (scalar, previous) = UTF8Scalars.scalar(in: text, endingAt: start)
            guard scalar.properties.isWhitespace else { break }
            start = previous
        }
        return start
    }

    private static func endOfSpace(after position: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
        var end = position
        while end < text.count {
            let (scalar, next) = UTF8Scalars.scalar(in: text, at: end)
            guard scalar.properties.isWhitespace else { break }
            end = next
        }
        return end
    }
}

/// A prefix tree over bytes.
struct ByteTrie: Sendable {
    private struct Node: Sendable {
        var children: [UInt8: Int32] = [:]
        var value: Int32?
    }

    private var nodes = [Node()]
    /// The root's children, apart, because almost every look-up ends there.
    private var roots = [Int32](repeating: -1, count: 256)

    mutating func insert(_ key: [UInt8], value: Int32) {
        guard let first = key.first else { return }
        if roots[Int(first)] < 0 { roots[Int(first)] = addNode() }
        var node = Int(roots[Int(first)])
        for byte in key.dropFirst() {
            if let child = nodes[node].children[byte] {
                node = Int(child)
            } else {
                let child = addNode()
                nodes[node].children[byte] = child
                node = Int(child)
            }
        }
        nodes[node].value = value
    }

    private mutating func addNode() -> Int32 {
        nodes.append(Node())
        return Int32(truncatingIfNeeded: nodes.count - 1)
    }

    /// The longest key that `text` continues with at `position`.
    func longestMatch(in text: UnsafeBufferPointer<UInt8>, at position: Int) -> (start: Int, end: Int, value: Int32)? {
        var node = roots[Int(text[position])]
        var end = position + 1
        var match: (start: Int, end: Int, value: Int32)?
        while node >= 0 {
            if let value = nodes[Int(node)].value { match = (position, end, value) }
            guard end < text.count, let child = nodes[Int(node)].children[text[end]] else { break }
            node = child
            end += 1
        }
        return match
    }
}
