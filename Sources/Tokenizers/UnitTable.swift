// Units: the symbols that byte-pair encoding starts from, one for each character (or byte) of a piece.

/// From characters to ids, with byte fallback and the unknown token for those outside the vocabulary.
struct UnitTable: Sendable {
    let alphabet: PreTokenizer.Alphabet
    /// Ids of bytes (alphabet `bytes`) or ASCII characters (alphabet `characters`); -1 where there is none.
    private let direct: [Int32]
    /// Ids of the characters beyond ASCII; empty for the alphabet `bytes`.
    private let beyondASCII: [Unicode.Scalar: Int32]
    private let fallback: Fallback

    /// What stands for a character that is not in the vocabulary.
    struct Fallback: Sendable {
        /// The ids of <0x00> ... <0xFF>, -1 for those missing; empty without byte fallback.
        let bytes: [Int32]
        let unknown: Int32?
        /// A run of unknown characters becomes one unknown token.
        let fuses: Bool
    }

    init(alphabet: PreTokenizer.Alphabet, vocabulary: [[UInt8]: Int32], fallback: Fallback) {
        func id(_ scalar: Unicode.Scalar) -> Int32 { vocabulary[Array(String(Character(scalar)).utf8)] ?? -1 }
        self.alphabet = alphabet
        self.fallback = fallback
        switch alphabet {
        case .bytes:
            direct = ByteAlphabet.scalars.map(id)
            beyondASCII = [:]
        case .characters:
            direct = (UInt8.min..<0x80).map { id(Unicode.Scalar($0)) }
            var ids: [Unicode.Scalar: Int32] = [:]
            for (spelling, id) in vocabulary where spelling.count > 1 && spelling.count <= 4 {
                let scalars = String(decoding: spelling, as: UTF8.self).unicodeScalars
                if let scalar = scalars.first, scalars.count == 1 { ids[scalar] = id }
            }
            beyondASCII = ids
        }
    }

    func append(_ piece: UnsafeBufferPointer<UInt8>, to units: inout [Int32]) {
        units.reserveCapacity(piece.count)
        var pending = false
        var position = 0
        while position < piece.count {
            let byte = piece[position]
            var next = position + 1
            var id: Int32
            if alphabet == .bytes || byte < 0x80 {
                id = direct[Int(byte)]
            } else {
                let scalar: Unicode.Scalar
                (scalar, next) = UTF8Scalars.scalar(in: piece, at: position)
                id = beyondASCII[scalar] ?? -1
            }
            if id >= 0 {
                if pending { appendUnknown(to: &units) }
                pending = false
                units.append(id)
            } else {
                appendFallback(for: UnsafeBufferPointer(rebasing: piece[position..<next]), to: &units, pending: &pending)
            }
            position = next
        }
        if pending { appendUnknown(to: &units) }
    }

    /// An unknown token waits (`pending`) for its run to end; like in the reference library, byte tokens do not end it. Without an
    /// unknown token the character is left out, as there.
    private func appendFallback(for character: UnsafeBufferPointer<UInt8>, to units: inout [Int32], pending: inout Bool) {
        if !fallback.bytes.isEmpty {
            // In the alphabet of bytes it is the printable stand-in that is spelt in byte tokens.
            let spelling =
                alphabet == .bytes ? Array(String(Character(ByteAlphabet.scalars[Int(character[0])])).utf8) : Array(character)
            let ids = spelling.map { fallback.bytes[Int($0)] }
            if !ids.contains(-1) {
                units.append(contentsOf: ids)
                return
            }
        }
        guard fallback.unknown != nil else { return }
        if pending, !fallback.fuses { appendUnknown(to: &units) }
        pending = true
    }

    private func appendUnknown(to units: inout [Int32]) {
        if let unknown = fallback.unknown { units.append(unknown) }
    }
}
