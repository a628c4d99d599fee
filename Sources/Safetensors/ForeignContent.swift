// What a file turns out to be whose content is not what its name says: a pointer of Git LFS, an archive, a page of a web server.

/// Recognises files by their first bytes.
public struct ForeignContent: Sendable, Equatable {
    public enum Kind: Sendable {
        /// Of Git LFS.
        case pointer
        case webPage
        /// Compressed, an archive, a table, or another format of binary data.
        case packed
    }

    public let kind: Kind
    /// What the file is and what to do, without a full stop: "This is ...; ...".
    public let text: String

    /// Bytes that are looked at.
    public static let needed = 64

    /// - Parameter start: the first bytes of a file.
    /// - Returns: nil for everything that is not known.
    public static func description(_ start: [UInt8]) -> ForeignContent? {
        if start.starts(with: Array("version https://git-lfs.github.com/spec/".utf8)) {
            return ForeignContent(
                kind: .pointer, text: "This is a pointer of Git LFS, not the file itself, which was not fetched; run `git lfs pull` in the repository")
        }
        let letters = String(decoding: start.prefix(needed), as: UTF8.self).drop { $0.isWhitespace || $0 == "\u{feff}" }.lowercased()
        if letters.hasPrefix("<!doctype html") || letters.hasPrefix("<html") {
            return ForeignContent(kind: .webPage, text: "This is a web page, most likely a server's error in place of the file; fetch it again")
        }
        return archives.first { start.starts(with: $0.magic) }.map { ForeignContent(kind: .packed, text: "This is \($0.name); \($0.remedy)") }
    }

    private static let archives: [(magic: [UInt8], name: String, remedy: String)] = [
        ([0x1f, 0x8b], "compressed by gzip", "unpack it (`gunzip -k FILE`)"),
        ([0x28, 0xb5, 0x2f, 0xfd], "compressed by zstd", "unpack it (`unzstd FILE`)"),
        ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "compressed by xz", "unpack it (`unxz -k FILE`)"),
        (Array("BZh9".utf8), "compressed by bzip2", "unpack it (`bunzip2 -k FILE`)"),
        ([0x04, 0x22, 0x4d, 0x18], "compressed by lz4", "unpack it (`unlz4 FILE`)"),
        ([0x50, 0x4b, 0x03, 0x04], "a zip archive (PyTorch's files are such)", "unpack or convert it"),
        ([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "a 7z archive", "unpack it"),
        (Array("PAR1".utf8), "a Parquet table", tableRemedy), (Array("ARROW1".utf8), "an Arrow table", tableRemedy),
        (Array("Obj\u{1}".utf8), "an Avro table", tableRemedy),
        (Array("GGUF".utf8), "a GGUF file", "give the model that it was made from"), (Array("%PDF-".utf8), "a PDF document", "take its text out first"),
        ([0x89, 0x48, 0x44, 0x46], "an HDF5 file", "convert it"), (Array("SQLite format 3".utf8), "an SQLite database", tableRemedy),
    ]

    /// What to do with tables.
    public static let tableRemedy =
        "write its texts as JSON lines first, such as `python -c 'import datasets, sys; datasets.load_dataset(sys.argv[1], data_files=sys.argv[2])[\"train\"]"
        + ".to_json(sys.argv[3])' FORMAT FILE OUT.jsonl`"
}
