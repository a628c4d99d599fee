// Codes as a little-endian bit stream in 32-bit words.

/// Code `i` of a run of `bits` wide codes lies at bit `i * bits`, lowest bit first; the last word is filled up with zeros.
///
/// GPTQ's qweight and compressed-tensors' weight_packed (from 0.18 on also at widths that do not divide 32) are this stream.
public enum BitStream {
    /// Words of `count` codes.
    public static func wordCount(_ count: Int, bits: Int) -> Int { (count * bits + 31) / 32 }

    /// - Parameters:
    ///   - codes: `count` codes, each below 2^bits; consecutive codes are `step` elements apart.
    ///   - words: `wordCount(count, bits: bits)` words.
    public static func pack(_ codes: UnsafePointer<UInt8>, step: Int = 1, count: Int, bits: Int, into words: UnsafeMutablePointer<UInt32>) {
        if bits == 4, step == 1 { return packHalves(codes, count, into: words) }
        var (window, filled, word) = (UInt64(0), 0, 0)
        for index in 0..<count {
            window |= UInt64(codes[index * step]) << UInt64(filled)
            filled += bits
            if filled >= 32 {
                words[word] = UInt32(truncatingIfNeeded: window).littleEndian
                word += 1
                window >>= 32
                filled -= 32
            }
        }
        if filled > 0 { words[word] = UInt32(truncatingIfNeeded: window).littleEndian }
    }

    /// The inverse of `pack`.
    public static func unpack(_ words: UnsafePointer<UInt32>, count: Int, bits: Int, into codes: UnsafeMutablePointer<UInt8>, step: Int = 1) {
        if bits == 4, step == 1 { return unpackHalves(words, count, into: codes) }
        let mask = UInt64(1) << UInt64(bits) - 1
        var (window, filled, word) = (UInt64(0), 0, 0)
        for index in 0..<count {
            if filled < bits {
                window |= UInt64(UInt32(littleEndian: words[word])) << UInt64(filled)
                word += 1
                filled += 32
            }
            codes[index * step] = UInt8(truncatingIfNeeded: window & mask)
            window >>= UInt64(bits)
            filled -= bits
        }
    }

    // Of the usual width two codes are a byte, and a loop over bytes is one that the compiler turns into vectors.

    private static func packHalves(_ codes: UnsafePointer<UInt8>, _ count: Int, into words: UnsafeMutablePointer<UInt32>) {
        let size = wordCount(count, bits: 4) * 4
        words.withMemoryRebound(to: UInt8.self, capacity: size) { bytes in
            for index in 0..<count / 2 { bytes[index] = codes[2 * index] | codes[2 * index + 1] << 4 }
            (bytes + count / 2).update(repeating: 0, count: size - count / 2)
            if count % 2 == 1 { bytes[count / 2] = codes[count - 1] }
        }
    }

    private static func unpackHalves(_ words: UnsafePointer<UInt32>, _ count: Int, into codes: UnsafeMutablePointer<UInt8>) {
        words.withMemoryRebound(to: UInt8.self, capacity: wordCount(count, bits: 4) * 4) { bytes in
            for index in 0..<count / 2 {
                codes[2 * index] = bytes[index] & 15
                codes[2 * index + 1] = bytes[index] >> 4
            }
            if count % 2 == 1 { codes[count - 1] = bytes[count / 2] & 15 }
        }
    }
}
