// Finding infinities and NaN among numbers as they lie in checkpoint files.

internal import CKernels

extension Numbers {
    /// A type of numbers by the bits of its exponent; all of them are set in infinities and NaN alone.
    public enum Exponent: Sendable {
        case float64, float32, float16, bfloat16
        /// E4M3 without infinities: all bits but the sign's are set in what is not a number.
        case float8
        /// E8M0, an exponent alone.
        case exponent8

        public var byteCount: Int {
            switch self {
            case .float64: 8
            case .float32: 4
            case .float16, .bfloat16: 2
            case .float8, .exponent8: 1
            }
        }

        var bits: UInt32 {
            switch self {
            // Of the upper half.
            case .float64: 0x7ff0_0000
            case .float32: 0x7f80_0000
            case .float16: 0x7c00
            case .bfloat16: 0x7f80
            case .float8: 0x7f
            case .exponent8: 0xff
            }
        }
    }

    /// The place of the first number that is infinite or not a number, also after a float64 has become a float32; nil when all are finite.
    /// - Parameter bytes: little-endian numbers, which need not be aligned.
    public static func firstNotFinite(_ bytes: UnsafeRawBufferPointer, _ exponent: Exponent) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        let count = bytes.count / exponent.byteCount
        let place =
            switch exponent {
            // Old files have some; they are read as float32, which has to hold them.
            case .float64: (0..<count).first { !Float(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self)).isFinite } ?? count
            case .float32: cleave_first_not_finite_32(base, count, exponent.bits)
            case .float16, .bfloat16: cleave_first_not_finite_16(base, count, UInt16(exponent.bits))
            case .float8, .exponent8: cleave_first_not_finite_8(base, count, UInt8(exponent.bits))
            }
        return place == count ? nil : place
    }
}
