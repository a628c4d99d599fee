// What a decoder of compressed bytes does, whichever form it reads.

/// Decompresses a stream, piece by piece. A stream is one or several units, one behind the other: gzip's members, zstd's frames.
protocol StreamDecoder: AnyObject {
    /// Whether every unit that has begun has ended.
    var isBetweenUnits: Bool { get }

    /// Decompresses as much as fits.
    ///
    /// - Returns: bytes of the input that were used, bytes of the output that were filled.
    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(DecodingFailure) -> (used: Int, made: Int)
}

/// Why bytes cannot be decompressed.
struct DecodingFailure: Error {
    /// In the library's words, or those of the format.
    let reason: String
}
