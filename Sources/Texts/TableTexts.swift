// A Parquet table whose rows are documents, each with its text in one column.

internal import Failures
internal import Parquet

/// The texts of a column.
struct TableTexts {
    private let path: String
    private let table: ParquetFile
    private let column: String

    /// - Throws: for a file that is no table, and for a column that is not there or holds no texts, naming those that do.
    init(path: String, column: String) throws {
        self.path = path
        self.column = column
        table = try ParquetFile(path: path)
        guard table.textColumns.contains(column) else {
            let texts = table.textColumns
            let isThere = table.columns.contains { $0 == column || $0.hasPrefix(column + ".") }
            // How writers name the parts of a list of messages.
            let isChat = table.columns.contains { $0.hasSuffix(".role") || $0.hasSuffix(".from") } && texts.isEmpty
            let problem = isThere ? "column `\(column)` of this table holds no texts" : "this table has no column `\(column)`"
            let remedy =
                texts.isEmpty
                ? "none of its columns does (\(Self.list(table.columns)))\(isChat ? "; \(TextRecord.chatRemedy)" : "")"
                : "\(Self.list(texts)) \(texts.count == 1 ? "does" : "do"): name one as `field` beside `path` in `calibration.source`"
            throw PipelineError(.badInput, "\(path): \(problem)\(isThere ? "" : " of texts"); \(remedy)")
        }
    }

    private static func list(_ names: [String]) -> String {
        names.isEmpty ? "it has none" : names.prefix(12).map { "`\($0)`" }.joined(separator: ", ") + (names.count > 12 ? " and more" : "")
    }

    /// Calls `body` with the text of one row after the other, until it returns false.
    /// - Throws: for pages that cannot be read; naming the row of a text that is missing or no UTF-8; what `body` throws.
    func forEachDocument(_ body: (String) throws -> Bool) throws {
        try table.forEachText(of: column) { row, bytes in
            guard let bytes else {
                throw PipelineError(.badInput, "\(path): row \(row) of column `\(column)` is null, not a text; leave such rows out of the table")
            }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw PipelineError(.badInput, "\(path): row \(row) of column `\(column)` is not UTF-8")
            }
            return try body(text)
        }
    }
}
