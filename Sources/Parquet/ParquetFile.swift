// A Parquet file: its footer is read at once, its pages one after the other.

internal import Decompression
package import Safetensors

/// A table, of which one column of texts is read, page by page.
package struct ParquetFile {
    let path: String
    private let file: DataFile
    let footer: ParquetFooter

    /// What tables begin and end with.
    package static let magic = Array("PAR1".utf8)
    private static let encryptedMagic = Array("PARE".utf8)

    /// - Throws: `.missing`, `.notPermitted`, `.notReadable`; `.malformed` for what is no table.
    package init(path: String) throws(SafetensorsError) {
        self.path = path
        file = try DataFile(path: path, access: .pread)
        let tail = try file.bytes(at: max(0, file.byteCount - 8), count: min(8, file.byteCount))
        guard tail.suffix(4) != Self.encryptedMagic[...] else {
            throw TableDamage.error(path, "The table is encrypted. Write it without encryption.")
        }
        guard tail.count == 8, tail.suffix(4) == Self.magic[...], file.byteCount >= 12 else {
            throw TableDamage.error(path, "This is not a whole Parquet file: it does not end with PAR1, as it would behind its footer. Fetch it again.")
        }
        let count = tail.prefix(4).enumerated().reduce(0) { $0 | Int($1.element) << ($1.offset * 8) }
        guard count <= min(file.byteCount - 12, TableDamage.largest) else {
            throw TableDamage.error(
                path, "The footer is damaged: it is to have \(count) bytes, and the file has \(file.byteCount). Fetch it again.")
        }
        var reader = ThriftReader(try file.bytes(at: file.byteCount - 8 - count, count: count))
        guard let footer = (try? reader.structure()).flatMap(ParquetFooter.init) else {
            throw TableDamage.error(path, "The footer is damaged: its \(count) bytes do not describe a table. Fetch it again.")
        }
        self.footer = footer
    }

    /// The names of the columns that may hold texts.
    package var textColumns: [String] { footer.columns.filter(\.holdsBytes).map(\.name) }

    /// The names of all columns, those in groups with the group's name and a dot.
    package var columns: [String] { footer.columns.map(\.name) }

    /// Calls `body` with the text of one row after the other, until it returns false.
    ///
    /// - Parameters:
    ///   - column: one of `textColumns`.
    ///   - body: gets the row, from 0, and its bytes; nil where the row has none.
    /// - Throws: `.malformed` for pages that are damaged or written in a way that is not read; what `body` throws.
    package func forEachText(of column: String, _ body: (_ row: Int, _ text: [UInt8]?) throws -> Bool) throws {
        guard let index = footer.columns.firstIndex(where: { $0.name == column && $0.holdsBytes }) else {
            throw SafetensorsError(.invalidRequest, path: path, "The table has no column \(column) of texts.")
        }
        var row = 0
        for chunk in footer.groups.map({ $0[index] }) {
            var values = try ChunkValues(chunk, isOptional: footer.columns[index].isOptional, name: column, file: file)
            while try values.nextPage() {
                for place in 0..<values.count {
                    guard try body(row, values.value(at: place)) else { return }
                    row += 1
                }
            }
        }
    }
}
