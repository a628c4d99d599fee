// Unicode normalization forms, by Foundation, led around its faults and in stretches short enough to be fast.

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
        // All scalars below U+0300 (which 0xCC leads) are their own NFC; ASCII is its own in every form.
        let unchangedBelow: UInt8 = self == .nfc ? 0xCC : 0x80
        if text.allSatisfy({ $0 < unchangedBelow }) { return text }
        return switch self {
        case .nfd: Self.decompose(text)
        case .nfc: Self.compose(Self.decompose(text))
        case .nfkd: Self.decomposeCompatibly(text)
        case .nfkc: Self.compose(Self.decomposeCompatibly(text))
        }
    }

    private static func decompose(_ text: [UInt8]) -> [UInt8] {
        transform(text, cutBetween: { _, _ in false }, by: \.decomposedStringWithCanonicalMapping)
    }

    private static func decomposeCompatibly(_ text: [UInt8]) -> [UInt8] {
        // Foundation puts marks in order only in the canonical decomposition.
        transform(
            text, cutBetween: { _, _ in false },
            by: \.decomposedStringWithCompatibilityMapping.decomposedStringWithCanonicalMapping)
    }

    /// - Parameter text: decomposed.
    private static func compose(_ text: [UInt8]) -> [UInt8] {
        transform(text, cutBetween: seemToCompose, by: \.precomposedStringWithCanonicalMapping)
    }

    /// Foundation composes a character beyond U+FFFF with a mark as if only its lower 16 bits counted. No such pair composes, so the two
    /// are kept apart.
    private static func seemToCompose(_ left: Unicode.Scalar, _ right: Unicode.Scalar) -> Bool {
        left.value > 0xFFFF && 0x300...0xFFFF ~= right.value
            && left.properties.canonicalCombiningClass == .notReordered
    }

    /// Transforms stretch by stretch; `cutBetween` asks for further cuts.
    private static func transform(
        _ text: [UInt8], cutBetween: (Unicode.Scalar, Unicode.Scalar) -> Bool, by body: (String) -> String
    ) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        func append(_ stretch: Slice<UnsafeBufferPointer<UInt8>>) {
            if stretch.allSatisfy({ $0 < 0x80 }) {
                result.append(contentsOf: stretch)
            } else {
                result.append(contentsOf: body(String(decoding: stretch, as: UTF8.self)).utf8)
            }
        }
        text.withUnsafeBufferPointer { text in
            var start = 0
            var position = 0
            var previous: Unicode.Scalar = "\0"
            while position < text.count {
                let (scalar, next) = UTF8Scalars.scalar(in: text, at: position)
                let isFull = position - start >= stretch
                if isFull && isBoundary(before: scalar) || cutBetween(previous, scalar) {
                    append(text[start..<position])
                    start = position
                }
                position = next
                previous = scalar
            }
            append(text[start...])
        }
        return result
    }

    /// Whether the text may be cut before `scalar` in every form: its decompositions begin with a starter that never composes with what
    /// precedes it. The list is not complete, but meets every script that is written without spaces and often changes its form.
    private static func isBoundary(before scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case ..<0x300: true
        case 0x370...0x482: true  // Greek, Cyrillic
        case 0x1100...0x115F: true  // leading consonants of decomposed Hangul
        case 0x3041...0x3096, 0x30A1...0x30FA: true  // kana
        case 0x4E00...0x9FFF: true  // unified ideographs
        case 0xAC00...0xD7A3: true  // Hangul syllables
        default: false
        }
    }
}
