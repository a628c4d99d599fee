// Documents on their way through a tokenizer, of which some MiB are in memory at a time.

/// Gives the ids of documents that come in parts: the same as of each document as a whole.
///
/// A document is cut where a line ends and a letter or digit of ASCII follows, and only where the ids of what lies around the cut are those of its two sides,
/// each by itself. Beyond `context` bytes nothing that a tokenizer does reaches: words end with their line, or merges do. A tokenizer for which no cut holds, such
/// as one that strips the ends of texts, sees the whole document.
public struct TextEncoding {
    private let tokenizer: Tokenizer
    private let addsSpecialTokens: Bool
    /// Bytes that are encoded at once.
    private let most: Int
    /// Bytes on either side of a cut on which it is tried.
    private let context: Int
    /// How many cuts are tried before more text is waited for.
    private static let mostTried = 16
    private static let tooLong =
        "more than 1 GiB of it have no line behind which it can be cut; give documents of their own, as JSON lines with a field `text` each"
    /// Bytes of the document that are not encoded yet.
    private var held: [UInt8] = []
    /// With how many of these a cut is sought.
    private var wanted: Int
    private var isAtStart = true

    /// - Parameters:
    ///   - addSpecialTokens: puts the post-processor's special tokens around each document.
    ///   - most: bytes that are encoded at once where cuts are found.
    public init(_ tokenizer: Tokenizer, addSpecialTokens: Bool, most: Int = 1 << 20) {
        self.tokenizer = tokenizer
        addsSpecialTokens = addSpecialTokens
        self.most = most
        context = min(32 << 10, most / 4)
        wanted = most
    }

    /// The next part of a document.
    ///
    /// - Parameter part: whole scalars in UTF-8.
    /// - Returns: ids that are certain by now.
    /// - Throws: as `Tokenizer.encode`.
    public mutating func append(_ part: some Sequence<UInt8>) throws(TokenizerError) -> [Int32] {
        held.append(contentsOf: part)
        var ids: [Int32] = []
        while held.count >= wanted {
            if let cut = try lastCut() {
                ids += try encode(Array(held[..<cut]))
                held.removeFirst(cut)
                wanted = most
            } else {
                guard held.count <= Tokenizer.largestText else { throw tokenizer.failure(Self.tooLong) }
                wanted = min(2 * held.count, Tokenizer.largestText + 1)
            }
        }
        return ids
    }

    /// The end of a document; another one may follow.
    ///
    /// - Returns: the rest of its ids.
    /// - Throws: as `Tokenizer.encode`.
    public mutating func finish() throws(TokenizerError) -> [Int32] {
        let ids = try encode(held)
        (held, wanted, isAtStart) = ([], most, true)
        return addsSpecialTokens ? ids + tokenizer.specialTokens.suffix : ids
    }

    /// The ids of what comes next.
    private mutating func encode(_ bytes: [UInt8]) throws(TokenizerError) -> [Int32] {
        defer { isAtStart = false }
        let ids = try tokenizer.encode(bytes, from: isAtStart ? .ofText : .inside)
        return isAtStart && addsSpecialTokens ? tokenizer.specialTokens.prefix + ids : ids
    }

    /// The last place in what is held at which it can be cut; nil where none of those that were tried can be.
    private func lastCut() throws(TokenizerError) -> Int? {
        var tried = 0, place = held.count - context
        while place > max(held.count / 2, context), tried < Self.mostTried {
            if held[place - 1] == UInt8(ascii: "\n"), Self.isLetterOrDigit(held[place]) {
                if try separates(place) { return place }
                tried += 1
            }
            place -= 1
        }
        return nil
    }

    /// Whether the ids around a place are those of its two sides.
    private func separates(_ place: Int) throws(TokenizerError) -> Bool {
        let left = Array(held[scalar(at: place - context)..<place]), right = Array(held[place..<scalar(at: place + context)])
        return try tokenizer.encode(left + right, from: .inside) == tokenizer.encode(left, from: .inside) + tokenizer.encode(right, from: .inside)
    }

    /// The beginning of the scalar to which a byte belongs.
    private func scalar(at place: Int) -> Int {
        var place = place
        while place > 0, place < held.count, held[place] & 0xc0 == 0x80 { place -= 1 }
        return place
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
