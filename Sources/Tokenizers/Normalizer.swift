// Normalization: rewriting the text between added tokens before it is cut into pieces.

internal import RegularExpressions

/// The steps of a tokenizer's normalizer in order; none for `null`.
struct Normalizer: Sendable {
    enum Step: Sendable {
        case unicode(UnicodeForm)
        case prepend([UInt8])
        case replace(Pattern, with: [UInt8])
        case lowercase
        case strip(left: Bool, right: Bool)
    }

    let steps: [Step]

    /// Whether the first byte of the result always stems from the first of the text, so that a later "first piece" is well defined.
    var keepsStart: Bool {
        steps.allSatisfy {
            switch $0 {
            case .unicode, .lowercase: true
            case .prepend, .replace, .strip: false
            }
        }
    }

    /// - Parameter beginning: what the first byte begins.
    func normalize(_ text: [UInt8], from beginning: SectionBeginning = .ofSection) throws(RegularExpression.Failure) -> [UInt8] {
        let limit = TextLimit.bytes(from: text.count)
        var text = text
        for step in steps where !text.isEmpty {
            switch step {
            case .unicode(let form): text = form.apply(to: text)
            case .prepend(let prefix): if beginning != .inside { text.insert(contentsOf: prefix, at: 0) }
            case .replace(let pattern, let content): text = try Self.replace(pattern, with: content, in: text, limit: limit)
            case .lowercase: text = Self.lowercase(text)
            case .strip(let left, let right): text = Self.strip(text, left: left, right: right)
            }
            guard text.count <= limit else { throw .tooLarge(limit) }
        }
        return text
    }

    private static func replace(
        _ pattern: Pattern, with content: [UInt8], in text: [UInt8], limit: Int
    ) throws(RegularExpression.Failure) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 4)
        var copied = 0
        var sawEmptyMatch = false
        var isTooLarge = false
        try text.withUnsafeBufferPointer { (text) throws(RegularExpression.Failure) in
            try pattern.forEachMatch(in: text) { match in
                sawEmptyMatch = sawEmptyMatch || match.isEmpty
                isTooLarge = isTooLarge || result.count + content.count > limit
                guard !isTooLarge else { return }
                result.append(contentsOf: text[copied..<match.lowerBound])
                result.append(contentsOf: content)
                copied = match.upperBound
            }
            result.append(contentsOf: text[copied...])
        }
        guard !isTooLarge else { throw .tooLarge(limit) }
        // The reference library loses track of its offsets here and fails or cuts the text differently.
        guard !sawEmptyMatch else {
            throw RegularExpression.Failure(
                message: "the pattern of a Replace matched no character at all, which is not supported")
        }
        return result
    }

    /// Scalar by scalar, without looking at neighbours (no final sigma).
    private static func lowercase(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
        return result
    }

    private static func strip(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
        text.withUnsafeBufferPointer { text in
            var start = 0
            var end = text.count
            while left, start < end {
                let (scalar, next) = UTF8Scalars.scalar(in: text, at: start)
                guard scalar.properties.isWhitespace else { break }
                start = next
            }
            while right, start < end {
                let (scalar, previous) = UTF8Scalars.scalar(in: text, endingAt: end)
                guard scalar.properties.isWhitespace else { break }
                end = previous
            }
            return Array(text[start..<end])
        }
    }
}
