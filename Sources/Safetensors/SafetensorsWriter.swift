// Writes one safetensors file from a stream of chunks; a tensor is never held in memory.

/// All descriptions first, then the data in the order of `entries`, in chunks of any size.
///
/// The file appears under its name when `finish` returns, not before. Any failure, and releasing the writer unfinished,
/// removes what was written. One writer belongs to one thread at a time.
public final class SafetensorsWriter {
    /// The tensors in the order in which their data must be appended; see `SafetensorsLayout`.
    public let entries: [TensorEntry]
    public let path: String
    private let fileByteCount: Int
    private let output: AtomicFileWriter
    /// The tensor being filled, and how many of its bytes have come.
    private var position = 0
    private var filled = 0

    /// Creates the temporary file, checks that the disk has space for all of it, and writes the header.
    /// - Throws: `.invalidRequest` for equal or reserved names; `.notWritable`, `.diskFull`
    public init(
        path: String, tensors: [TensorDescription], metadata: [String: String] = [:]
    ) throws(SafetensorsError) {
        let layout: SafetensorsLayout
        do {
            layout = try SafetensorsLayout(tensors: tensors, metadata: metadata)
        } catch {
            throw SafetensorsError(error.kind, path: path, error.reason)
        }
        self.path = path
        self.entries = layout.entries
        self.fileByteCount = layout.fileByteCount
        self.output = try AtomicFileWriter(path: path, expectedByteCount: layout.fileByteCount)
        let header = layout.headerBytes.withUnsafeBytes { bytes in
            Result { () throws(SafetensorsError) in try output.append(bytes) }
        }
        try header.get()
        skipFullTensors()
    }

    /// The tensor that the next chunk belongs to; nil once all are complete.
    public var currentTensor: TensorDescription? {
        position < entries.count ? entries[position].description : nil
    }

    /// Adds the next bytes of the current tensor. A chunk ends at or before the end of the tensor; empty tensors are
    /// passed over.
    /// - Parameter name: if given, the tensor that the caller means; a guard against streaming in another order.
    /// - Throws: `.invalidRequest`, `.diskFull`, `.notWritable`; the temporary file is gone then.
    public func append(_ bytes: UnsafeRawBufferPointer, to name: String? = nil) throws(SafetensorsError) {
        if bytes.isEmpty { return }
        guard let tensor = currentTensor else {
            throw refusal("\(bytes.count) bytes were appended after the last tensor was complete.")
        }
        if let name, name != tensor.name {
            throw refusal("Bytes of tensor \"\(name)\" were appended where those of \"\(tensor.name)\" belong.")
        }
        guard bytes.count <= tensor.byteCount - filled else {
            throw refusal(
                """
                \(bytes.count) bytes were appended to tensor "\(tensor.name)", which lacks only \
                \(tensor.byteCount - filled) of \(tensor.byteCount).
                """)
        }
        try output.append(bytes)
        filled += bytes.count
        skipFullTensors()
    }

    /// Makes the file durable under its name.
    /// - Throws: `.invalidRequest` if data is missing; `.diskFull`, `.notWritable`; the temporary file is gone then.
    public func finish() throws(SafetensorsError) -> WrittenFile {
        if let tensor = currentTensor {
            throw refusal(
                "Tensor \"\(tensor.name)\" has \(filled) of its \(tensor.byteCount) bytes; the file is incomplete.")
        }
        return try output.finish()
    }

    /// Removes what was written; harmless after `finish`.
    public func abandon() {
        output.abandon()
    }

    private func skipFullTensors() {
        while position < entries.count, filled == entries[position].description.byteCount {
            position += 1
            filled = 0
        }
    }

    private func refusal(_ reason: String) -> SafetensorsError {
        abandon()
        return SafetensorsError(.invalidRequest, path: path, reason)
    }
}
