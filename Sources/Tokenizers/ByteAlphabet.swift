// The printable characters that stand for bytes in byte-level vocabularies.

/// GPT-2's one-to-one map from bytes to characters (openai/gpt-2, src/encoder.py, `bytes_to_unicode`): printable Latin-1
/// characters stand for themselves, the other bytes for U+0100, U+0101, ... in order.
enum ByteAlphabet {
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt8.min...UInt8.max).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? Unicode.Scalar(byte)
            }
        }
    }()

    private static let bytes = Dictionary(uniqueKeysWithValues: zip(scalars, UInt8.min...UInt8.max))

    /// The bytes that `spelling` stands for, or nil where a character of it is outside the alphabet.
    static func decode(_ spelling: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(spelling.count)
        for scalar in String(decoding: spelling, as: UTF8.self).unicodeScalars {
            guard let byte = bytes[scalar] else { return nil }
            result.append(byte)
        }
        return result
    }
}
