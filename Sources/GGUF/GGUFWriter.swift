// Writes one GGUF file from a stream of chunks; a tensor is never held in memory.

public import Safetensors

/// The head first, then the data of the tensors in their order, in chunks of any size. The file appears whole or not at all.
public final class GGUFWriter {
    public let tensors: [GGUFTensor]
    private let output: AtomicFileWriter
    private let path: String
    /// The tensor being filled, and how many of its bytes have come.
    private var position = 0
    private var filled = 0

    /// - Throws: `.notWritable`, `.diskFull`
    public init(path: String, _ header: GGUFHeader) throws(SafetensorsError) {
        self.path = path
        tensors = header.tensors
        output = try AtomicFileWriter(path: path, expectedByteCount: header.fileByteCount)
        try append(header.bytes)
        try closeFullTensors()
    }

    /// Adds the next bytes of a tensor, which is the first that is not whole yet.
    /// - Throws: `.invalidRequest`, `.diskFull`, `.notWritable`; the temporary file is gone then.
    public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(SafetensorsError) {
        if bytes.isEmpty { return }
        guard position < tensors.count, tensors[position].name == name, bytes.count <= tensors[position].byteCount - filled else {
            throw refusal("\(bytes.count) bytes were appended to tensor \"\(name)\", which has no room for them now.")
        }
        try output.append(bytes)
        filled += bytes.count
        try closeFullTensors()
    }

    /// Makes the file durable under its name.
    /// - Throws: `.invalidRequest` if data is missing; `.diskFull`, `.notWritable`; the temporary file is gone then.
    public func finish() throws(SafetensorsError) -> WrittenFile {
        guard position == tensors.count else {
            throw refusal("Tensor \"\(tensors[position].name)\" has \(filled) of its \(tensors[position].byteCount) bytes; the file is incomplete.")
        }
        return try output.finish()
    }

    /// Removes what was written; harmless after `finish`.
    public func abandon() { output.abandon() }

    /// Pads tensors that are whole, the last one too.
    private func closeFullTensors() throws(SafetensorsError) {
        while position < tensors.count, filled == tensors[position].byteCount {
            try append([UInt8](repeating: 0, count: GGUFHeader.padded(filled) - filled))
            (position, filled) = (position + 1, 0)
        }
    }

    private func append(_ bytes: [UInt8]) throws(SafetensorsError) {
        let result = bytes.withUnsafeBytes { bytes in Result { () throws(SafetensorsError) in try output.append(bytes) } }
        try result.get()
    }

    private func refusal(_ reason: String) -> SafetensorsError {
        abandon()
        return SafetensorsError(.invalidRequest, path: path, reason)
    }
}
