// Strings of JSON text, their escapes resolved.

extension JSONScanner {
    /// Reads a string; escapes are decoded, and invalid UTF-8 or unpaired surrogates refused.
    package mutating func string() throws(JSONError) -> String {
        guard peek() == UInt8(ascii: "\"") else { throw unexpected("a string") }
        let start = offset
        offset += 1
        var decoded: [UInt8] = []
        var plainStart = offset
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                let plain = bytes[plainStart..<offset]
                offset += 1
                // Without escapes, which is nearly always, the bytes are taken as they are.
                let text =
                    decoded.isEmpty
                    ? String(validating: plain, as: UTF8.self) : String(validating: decoded + plain, as: UTF8.self)
                guard let text else { throw JSONError(offset: start, reason: "a string that is not valid UTF-8") }
                return text
            case UInt8(ascii: "\\"):
                decoded += bytes[plainStart..<offset]
                offset += 1
                try decodeEscape(into: &decoded)
                plainStart = offset
            case 0x00...0x1f:
                throw JSONError(offset: offset, reason: "a control character inside a string, where it must be escaped")
            default:
                offset += 1
            }
        }
        throw JSONError(offset: start, reason: "a string without an end")
    }

    private mutating func decodeEscape(into decoded: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw unexpected("an escape") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0c)
        case UInt8(ascii: "n"): decoded.append(0x0a)
        case UInt8(ascii: "r"): decoded.append(0x0d)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"): decoded += Array(String(Character(try unicodeEscape())).utf8)
        default: throw JSONError(offset: offset - 2, reason: "an unknown escape")
        }
    }

    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let unpaired = JSONError(offset: offset - 2, reason: "an unpaired surrogate")
        var value = try hexQuad()
        if (0xd800...0xdbff).contains(value), current == UInt8(ascii: "\\") {
            offset += 1
            guard current == UInt8(ascii: "u") else { throw unpaired }
            offset += 1
            let low = try hexQuad()
            guard (0xdc00...0xdfff).contains(low) else { throw unpaired }
            value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(value) else { throw unpaired }
        return scalar
    }

    private mutating func hexQuad() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw JSONError(offset: offset, reason: "expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }
}
