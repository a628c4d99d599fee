// What is refused as a text, by its first bytes and by its name.

internal import Failures
internal import Foundation
internal import Safetensors

extension TextSource {
    /// - Parameters:
    ///   - first: the first bytes, decompressed.
    ///   - name: the file's extension, below one such as .gz.
    static func refuseOthers(_ path: String, _ first: [UInt8], name: String) throws(PipelineError) {
        if let found = ForeignContent.description(first), found.kind != .webPage { throw PipelineError(.badInput, "\(path): \(found.text)") }
        // Every other byte of Latin letters in UTF-16 is zero.
        let zeros = first.enumerated().filter { $0.element == 0 }.map { $0.offset % 2 }
        let alternates = first.count >= 8 && zeros.count == first.count / 2 && Set(zeros).count == 1
        if first.starts(with: [0xff, 0xfe]) || first.starts(with: [0xfe, 0xff]) || alternates {
            throw PipelineError(.badInput, "\(path) is not UTF-8, but looks like UTF-16; `iconv -f UTF-16 -t UTF-8` turns that into UTF-8")
        }
        switch name {
        case "csv", "tsv", "arrow", "feather", "avro", "orc", "xls", "xlsx":
            throw PipelineError(.badInput, "\(path) is named .\(name), and of tables Cleave reads Parquet alone; \(ForeignContent.tableRemedy)")
        case "tgz", "xz", "bz2", "lz4", "zip", "7z", "tar":
            throw PipelineError(.badInput, "\(path) is named .\(name); unpack it, or rename it if it is plain text")
        case "pt", "pth", "bin", "pkl", "npz", "h5", "hdf5", "gguf", "pdf", "docx":
            throw PipelineError(
                .badInput, "\(path) is named .\(name), which is no text that Cleave reads; give text, JSON lines, a Parquet table, or ids (.npy, .safetensors)")
        default: break
        }
    }
}
