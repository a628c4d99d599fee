// Decompression of Zstandard streams by libzstd.

internal import CZstd

final class ZstdDecoder: StreamDecoder {
    private let stream: OpaquePointer
    private(set) var isBetweenUnits = true

    init() {
        // Null only when some KiB of memory cannot be had. A window is 128 MiB at most, the library's own limit.
        guard let stream = ZSTD_createDStream() else { fatalError("out of memory for a zstd stream") }
        self.stream = stream
    }

    deinit {
        ZSTD_freeDStream(stream)
    }

    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(DecodingFailure) -> (used: Int, made: Int) {
        guard !input.isEmpty || !isBetweenUnits else { return (0, 0) }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let code = ZSTD_decompressStream(stream, &target, &source)
        guard ZSTD_isError(code) == 0 else { throw DecodingFailure(reason: String(cString: ZSTD_getErrorName(code))) }
        isBetweenUnits = code == 0
        return (source.pos, target.pos)
    }
}
