// Decompression of gzip and zlib streams by zlib.

internal import CZlib

final class GzipDecoder: StreamDecoder {
    /// Its state points back to it, so that it has to stay where it is.
    private let stream: UnsafeMutablePointer<z_stream>
    private(set) var isBetweenUnits = true
    private var hasEnded = false

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // Refused only when 7 KiB of memory cannot be had, or when the library is another one than its header says.
        guard CZlib_begin(stream) == Z_OK else { fatalError("zlib \(String(cString: zlibVersion())) does not start; built with \(ZLIB_VERSION)") }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(DecodingFailure) -> (used: Int, made: Int) {
        guard !input.isEmpty || !isBetweenUnits else { return (0, 0) }
        if hasEnded {
            guard input.first == 0x1f else { throw DecodingFailure(reason: "bytes follow its end that are none of gzip") }
            inflateReset(stream)
            hasEnded = false
        }
        // A z_stream counts in 32 bits.
        let most = Int(Int32.max)
        let (given, room) = (min(input.count, most), min(output.count, most))
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(given)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room)
        let code = inflate(stream, Z_NO_FLUSH)
        switch code {
        case Z_OK, Z_BUF_ERROR: isBetweenUnits = false
        case Z_STREAM_END: (isBetweenUnits, hasEnded) = (true, true)
        case Z_NEED_DICT: throw DecodingFailure(reason: "it needs a dictionary, which gzip has none of")
        case Z_MEM_ERROR: throw DecodingFailure(reason: "no memory")
        default: throw DecodingFailure(reason: stream.pointee.msg.map { String(cString: $0) } ?? "zlib's code \(code)")
        }
        return (given - Int(stream.pointee.avail_in), room - Int(stream.pointee.avail_out))
    }
}
