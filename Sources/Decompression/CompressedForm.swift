// The forms in which whole files are compressed.

/// A form of compressed files that Cleave reads.
package enum CompressedForm: String, CaseIterable, Sendable {
    case gzip, zstd

    /// - Parameter start: the first bytes of a file.
    /// - Returns: nil for what is in none of the forms.
    package init?(start: some Collection<UInt8>) {
        guard let form = Self.allCases.first(where: { start.starts(with: $0.magic) }) else { return nil }
        self = form
    }

    /// - Parameter name: as files of the form end, without the dot.
    package init?(fileExtension name: String) {
        guard let form = Self.allCases.first(where: { $0.fileExtensions.contains(name) }) else { return nil }
        self = form
    }

    private var magic: [UInt8] {
        switch self {
        case .gzip: [0x1f, 0x8b]
        case .zstd: [0x28, 0xb5, 0x2f, 0xfd]
        }
    }

    private var fileExtensions: [String] {
        switch self {
        case .gzip: ["gz"]
        case .zstd: ["zst", "zstd"]
        }
    }

    func decoder() -> any StreamDecoder {
        switch self {
        case .gzip: GzipDecoder()
        case .zstd: ZstdDecoder()
        }
    }
}
