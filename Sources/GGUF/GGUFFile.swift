// Reading a GGUF file's head, held to its rules: what a file claims is checked before anything is made of it.

public import Safetensors

/// The metadata of a GGUF file, and where its tensors lie.
public struct GGUFFile: Sendable {
    public let path: String
    public let byteCount: Int
    /// In the order of the file.
    public let metadata: [GGUFEntry]
    public let tensors: [PlacedTensor]
    /// Those of types that are not known here.
    public let unknown: [UnknownTensor]

    /// How much of a file is read for its head: vocabularies are the largest part of it.
    private static let firstBytes = 1 << 20, mostBytes = 1 << 30

    /// Whether a file begins as one of this format.
    public static func isOne(_ path: String) -> Bool {
        guard let bytes = try? InputFile.bytes(of: path, 0..<4) else { return false }
        return bytes == GGUFHeader.magic
    }

    /// - Throws: `SafetensorsError`: `.missing`, `.notReadable`, or `.malformed` with the rule that is broken.
    public init(path: String) throws(SafetensorsError) {
        let byteCount = try FileStamp(path: path).byteCount
        var length = min(Self.firstBytes, byteCount)
        while true {
            var reader = GGUFReader(try InputFile.bytes(of: path, 0..<length), byteCount: byteCount)
            do {
                (metadata, tensors, unknown) = try reader.read()
                break
            } catch .tooShort where length < min(byteCount, Self.mostBytes) {
                length = min(4 * length, byteCount, Self.mostBytes)
            } catch {
                throw SafetensorsError(.malformed, path: path, "\(error)")
            }
        }
        self.path = path
        self.byteCount = byteCount
    }

    public subscript(key: String) -> GGUFValue? { metadata.first { $0.key == key }?.value }
}
