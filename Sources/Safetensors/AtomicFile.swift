// Small files written with the protocol of the large ones: whole or not at all, durable, with a checksum.

internal import Foundation

/// Replaces whole files.
public enum AtomicFile {
    /// - Throws: `.diskFull`, `.notWritable`; the old file is untouched then.
    @discardableResult
    public static func write(_ bytes: UnsafeRawBufferPointer, to path: String) throws(SafetensorsError) -> WrittenFile {
        let writer = try AtomicFileWriter(path: path, expectedByteCount: bytes.count)
        try writer.append(bytes)
        return try writer.finish()
    }

    @discardableResult
    public static func write(_ bytes: [UInt8], to path: String) throws(SafetensorsError) -> WrittenFile {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(SafetensorsError) in try write(buffer, to: path) }
        }
        return try result.get()
    }

    /// The name that a file was to have which was being written; nil for other names.
    public static func finalName(_ name: String) -> String? {
        guard let suffix = name.range(of: AtomicFileWriter.temporarySuffix, options: .backwards) else { return nil }
        let number = name[suffix.upperBound...]
        return !number.isEmpty && number.allSatisfy(\.isWholeNumber) ? String(name[..<suffix.lowerBound]) : nil
    }

    /// Writes text as UTF-8.
    @discardableResult
    public static func write(_ text: String, to path: String) throws(SafetensorsError) -> WrittenFile {
        try write(Array(text.utf8), to: path)
    }
}
