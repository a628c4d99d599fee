// Pre-tokenization: cutting the normalized text into the pieces that the model encodes one by one.

internal import RegularExpressions

/// The steps of a tokenizer's pre-tokenizer in order; none for `null`.
struct PreTokenizer: Sendable {
    enum Step: Sendable {
        case split(Pattern, SplitBehavior, inverted: Bool)
        case digits(individual: Bool)
        case replaceSpaces([UInt8])
        /// Puts the prefix before every piece (or only the one that begins the text) that does not begin with it.
        case prepend([UInt8], onlyFirst: Bool)
    }

    /// How the model's vocabulary spells a piece.
    enum Alphabet: Sendable {
        /// As the characters of the piece.
        case characters
        /// As one printable character per byte (`ByteLevel`).
        case bytes
    }

    let steps: [Step]
    let alphabet: Alphabet

    /// Text and its pieces, as ranges of its bytes.
    struct Pieces {
        var text: [UInt8]
        var ranges: [Range<Int>]
        let beginning: SectionBeginning

        init(text: [UInt8], beginning: SectionBeginning) {
            self.text = text
            self.beginning = beginning
            ranges = text.isEmpty ? [] : [0..<text.count]
        }
    }

    func apply(to pieces: inout Pieces) throws(RegularExpression.Failure) {
        let limit = TextLimit.bytes(from: pieces.text.count)
        for step in steps {
            switch step {
            case .split(let pattern, let behavior, let inverted):
                try pieces.split(by: pattern, behavior, inverted: inverted)
            case .digits(let individual): pieces.splitDigits(individual: individual)
            case .replaceSpaces(let content): pieces.replaceSpaces(with: content)
            case .prepend(let prefix, let onlyFirst): pieces.prepend(prefix, onlyFirst: onlyFirst)
            }
            guard pieces.text.count <= limit else { throw .tooLarge(limit) }
        }
    }
}

extension PreTokenizer.Pieces {
    fileprivate mutating func split(
        by pattern: Pattern, _ behavior: SplitBehavior, inverted: Bool
    ) throws(RegularExpression.Failure) {
        var cut: [Range<Int>] = []
        cut.reserveCapacity(max(ranges.count, text.count / 4))
        var sections: [SplitBehavior.Section] = []
        try text.withUnsafeBufferPointer { (text) throws(RegularExpression.Failure) in
            for range in ranges {
                sections.removeAll(keepingCapacity: true)
                var position = range.lowerBound
                try pattern.forEachMatch(in: UnsafeBufferPointer(rebasing: text[range])) { match in
                    let start = range.lowerBound + match.lowerBound
                    if position != start { sections.append(.init(range: position..<start, isMatch: inverted)) }
                    position = range.lowerBound + match.upperBound
                    sections.append(.init(range: start..<position, isMatch: !inverted))
                }
                if position != range.upperBound {
                    sections.append(.init(range: position..<range.upperBound, isMatch: inverted))
                }
                behavior.cut(sections, into: &cut)
            }
        }
        ranges = cut
    }

    fileprivate mutating func splitDigits(individual: Bool) {
        var cut: [Range<Int>] = []
        cut.reserveCapacity(ranges.count)
        text.withUnsafeBufferPointer { text in
            for range in ranges {
                var start = range.lowerBound
                var position = start
                var inNumber = false
                while position < range.upperBound {
                    let (scalar, next) = UTF8Scalars.scalar(in: text, at: position)
                    let isNumeric = scalar.isNumeric
                    if position > start, isNumeric != inNumber || (isNumeric && individual) {
                        cut.append(start..<position)
                        start = position
                    }
                    inNumber = isNumeric
                    position = next
                }
                cut.append(start..<range.upperBound)
            }
        }
        ranges = cut
    }

    fileprivate mutating func replaceSpaces(with content: [UInt8]) {
        rewrite { bytes, result in
            for byte in bytes {
                if byte == UInt8(ascii: " ") { result.append(contentsOf: content) } else { result.append(byte) }
            }
        }
    }

    fileprivate mutating func prepend(_ prefix: [UInt8], onlyFirst: Bool) {
        if onlyFirst, beginning != .ofText { return }
        var isFirst = true
        let firstIsWhole = beginning != .inside
        rewrite { bytes, result in
            if isFirst ? firstIsWhole : !onlyFirst, !bytes.starts(with: prefix) { result.append(contentsOf: prefix) }
            result.append(contentsOf: bytes)
            isFirst = false
        }
    }

    /// Replaces every piece by what `body` appends for it.
    private mutating func rewrite(_ body: (Slice<UnsafeBufferPointer<UInt8>>, inout [UInt8]) -> Void) {
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 4)
        text.withUnsafeBufferPointer { text in
            for index in ranges.indices {
                let start = result.count
                body(text[ranges[index]], &result)
                ranges[index] = start..<result.count
            }
        }
        text = result
    }
}
