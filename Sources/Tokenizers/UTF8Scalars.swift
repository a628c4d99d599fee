// Reading scalars from UTF-8 that is known to be valid.

/// Scalars of valid UTF-8 in a buffer.
enum UTF8Scalars {
    /// How many bytes the scalar takes that begins with `leading`.
    @inline(__always)
    static func width(leading: UInt8) -> Int {
        leading < 0x80 ? 1 : leading < 0xE0 ? 2 : leading < 0xF0 ? 3 : 4
    }

    /// The scalar at `position`, and where the next one begins.
    @inline(__always)
    static func scalar(in bytes: UnsafeBufferPointer<UInt8>, at position: Int) -> (scalar: Unicode.Scalar, next: Int) {
        let leading = bytes[position]
        let width = width(leading: leading)
        if width == 1 { return (Unicode.Scalar(leading), position + 1) }
        var value = UInt32(leading) & (0x7F >> UInt32(width))
        for continuation in bytes[(position + 1)..<(position + width)] {
            value = value << 6 | UInt32(continuation & 0x3F)
        }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", position + width)
    }

    /// The scalar that ends before `position` (> 0), and where it begins.
    static func scalar(in bytes: UnsafeBufferPointer<UInt8>, endingAt position: Int) -> (scalar: Unicode.Scalar, start: Int) {
        var start = position - 1
        while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return (scalar(in: bytes, at: start).scalar, start)
    }
}

extension Unicode.Scalar {
    /// Numbers of any kind (general categories Nd, Nl, No), as the pre-tokenizer `Digits` means them.
    var isNumeric: Bool {
        if isASCII { return ("0"..."9").contains(self) }
        switch properties.generalCategory {
        case .decimalNumber, .letterNumber, .otherNumber: return true
        default: return false
        }
    }

    /// `\w` of Unicode's UTS #18, as `single_word` of an added token means it.
    var isWordCharacter: Bool {
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}
