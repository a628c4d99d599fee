// A checkpoint open for reading, over all its files.

import Synchronization

/// Reads tensors of a checkpoint by name. Files are opened when first needed; any thread may read.
public final class Checkpoint: Sendable {
    public let index: CheckpointIndex
    /// All tensor names, sorted.
    public let names: [String]
    private let access: Access
    private let files: Mutex<[DataFile?]>
    private let byteCounter = Atomic<Int>(0)

    /// Opens nothing yet.
    public init(index: CheckpointIndex, access: Access = .mapped) {
        self.index = index
        self.names = index.tensors.keys.sorted()
        self.access = access
        self.files = Mutex(Array(repeating: nil, count: index.files.count))
    }

    /// Bytes handed out by `read` and `withBytes` so far.
    public var bytesRead: Int { byteCounter.load(ordering: .relaxed) }

    /// The tensor of this name, or nil.
    public func description(_ name: String) -> TensorDescription? {
        index.tensors[name]?.description
    }

    /// Copies a tensor's bytes, or some of them, into `buffer`.
    /// - Parameters:
    ///   - range: bytes inside the tensor, such as those of a few rows; all if nil
    ///   - buffer: exactly as long as the range
    /// - Throws: `.unknownTensor`, `.invalidRequest`, `.missing`, `.notReadable`; `.malformed` if the file's size
    ///   or time of change is another than when the index was made
    public func read(
        _ name: String, bytes range: Range<Int>? = nil, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        let tensor = try tensor(name)
        try file(tensor.file).read(tensor.description, at: tensor.bytes, inside: range, into: buffer)
        byteCounter.add(buffer.count, ordering: .relaxed)
    }

    /// Calls `body` with a tensor's bytes, or some of them: without a copy if mapped, from a buffer that lives for the
    /// call otherwise. The bytes need not be aligned to the element type.
    /// - Throws: as `read`, and what `body` throws
    public func withBytes<R>(
        of name: String, bytes range: Range<Int>? = nil, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let tensor = try tensor(name)
        let file = try file(tensor.file)
        let range = try tensor.description.checkedRange(range, path: file.path)
        byteCounter.add(range.count, ordering: .relaxed)
        return try file.withBytes(
            tensor.bytes.lowerBound + range.lowerBound..<tensor.bytes.lowerBound + range.upperBound, body)
    }

    /// Looks at every file's size and times again; for the process that made the index.
    /// - Throws: `.malformed` naming the first that has changed since; `.missing`
    public func checkUnchanged() throws(SafetensorsError) {
        for (number, file) in index.files.enumerated() {
            guard let stamp = file.stamp else { continue }
            let path = index.path(of: number), found = try FileStamp(path: path)
            guard found == stamp else { throw stamp.changed(to: found, path: path) }
        }
    }

    /// Asks the system for bytes of a tensor that are read soon. Only advice: what is wrong with a name or a file, the reading itself says.
    public func readAhead(_ name: String, bytes range: Range<Int>) {
        guard let tensor = index.tensors[name], let file = try? file(tensor.file) else { return }
        let start = tensor.bytes.lowerBound + range.lowerBound
        file.readAhead((start..<start + range.count).clamped(to: tensor.bytes))
    }

    private func tensor(_ name: String) throws(SafetensorsError) -> CheckpointIndex.Tensor {
        guard let tensor = index.tensors[name] else {
            throw SafetensorsError(.unknownTensor, path: index.directory, "The checkpoint has no tensor \"\(name)\".")
        }
        return tensor
    }

    private func file(_ number: Int) throws(SafetensorsError) -> DataFile {
        try files.withLock { (files) throws(SafetensorsError) in
            if let file = files[number] { return file }
            let file = try DataFile(path: index.path(of: number), access: access)
            // Times of the inode are left to the process that made the index: some file systems give each host its own.
            if let stamp = index.files[number].stamp, !file.stamp.hasSameContentTime(as: stamp) { throw stamp.changed(to: file.stamp, path: file.path) }
            files[number] = file
            return file
        }
    }
}
