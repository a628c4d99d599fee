// The content of a compressed file, decompressed as it is read.

package import Safetensors

/// The bytes that a compressed file stands for. What it holds of them is a piece of the file, and the window of its form (128 MiB at most).
package final class DecompressedBytes: ByteSource {
    private let source: FileBytes
    private let form: CompressedForm
    private let decoder: any StreamDecoder
    /// A piece of the file, of which `pending` is still to be decompressed.
    private let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    private var pending = 0..<0
    private var isAtEnd = false
    /// Bytes of the file that are decompressed.
    private var offset = 0

    /// - Throws: as `FileBytes`.
    package init(path: String, form: CompressedForm) throws(SafetensorsError) {
        source = try FileBytes(path: path)
        self.form = form
        decoder = form.decoder()
    }

    deinit {
        piece.deallocate()
    }

    /// - Throws: `.malformed` for a file that is damaged, or that ends too early.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) -> Int {
        while true {
            if pending.isEmpty, !isAtEnd {
                pending = 0..<(try source.read(into: piece))
                isAtEnd = pending.isEmpty
            }
            let step = try decode(into: buffer)
            offset += step.used
            pending = pending.lowerBound + step.used..<pending.upperBound
            if step.made > 0 { return step.made }
            if isAtEnd {
                guard decoder.isBetweenUnits else {
                    throw failure("The file ends in the middle of what \(form) has compressed, after \(offset) bytes: it was cut off. Fetch it again.")
                }
                return 0
            }
            guard step.used > 0 || pending.isEmpty else { throw damage("it does not go on") }
        }
    }

    private func decode(into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) -> (used: Int, made: Int) {
        do throws(DecodingFailure) {
            return try decoder.decode(UnsafeRawBufferPointer(rebasing: piece[pending]), into: buffer)
        } catch {
            throw damage(error.reason)
        }
    }

    private func damage(_ reason: String) -> SafetensorsError {
        failure("What \(form) has compressed is damaged near byte \(offset) of the file (\(reason)). Fetch it again, or compress it anew.")
    }

    private func failure(_ reason: String) -> SafetensorsError { SafetensorsError(.malformed, path: source.path, reason) }
}
