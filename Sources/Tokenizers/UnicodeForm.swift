// Unicode normalization forms, by Foundation, in stretches short enough to be fast.

import Foundation

/// A normalization form of Unicode Standard Annex 15.
enum UnicodeForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    /// Foundation takes quadratic time where a text changes its length at many places, so it gets stretches of about this many bytes.
    private static let stretch = 256

    func apply(to text: [UInt8]) -> [UInt8] {
        if text.allSatisfy({ $0 < unchangedBelow }) { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { text in
            var start = 0
            var position = 0
            while position < text.count {
                let (scalar, next) = UTF8Scalars.scalar(in: text, at: position)
                if position - start >= Self.stretch, Self.isBoundary(before: scalar) {
                    append(text[start..<position], to: &result)
                    start = position
                }
                position = next
            }
            append(text[start...], to: &result)
        }
        return result
    }

    /// Bytes below this are part of scalars that the form leaves alone: all below U+0300 for NFC (0xCC leads U+0300), else ASCII.
    private var unchangedBelow: UInt8 {
        self == .nfc ? 0xCC : 0x80
    }

    /// Whether the text may be cut before `scalar` in every form: its decompositions begin with a starter that never composes with what
    /// precedes it. The list is not complete, but meets every script that is written without spaces and often changes its form.
    private static func isBoundary(before scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case ..<0x300: true
        case 0x370...0x482: true  // Greek, Cyrillic
        case 0x3041...0x3096, 0x30A1...0x30FA: true  // kana
        case 0x4E00...0x9FFF: true  // unified ideographs
        case 0xAC00...0xD7A3: true  // Hangul syllables
        default: false
        }
    }

    private func append(_ stretch: Slice<UnsafeBufferPointer<UInt8>>, to result: inout [UInt8]) {
        guard !stretch.allSatisfy({ $0 < unchangedBelow }) else {
            result.append(contentsOf: stretch)
            return
        }
        let string = String(decoding: stretch, as: UTF8.self)
        switch self {
        case .nfc: result.append(contentsOf: string.precomposedStringWithCanonicalMapping.utf8)
        case .nfd: result.append(contentsOf: string.decomposedStringWithCanonicalMapping.utf8)
        case .nfkc: result.append(contentsOf: string.precomposedStringWithCompatibilityMapping.utf8)
        case .nfkd: result.append(contentsOf: string.decomposedStringWithCompatibilityMapping.utf8)
        }
    }
}
