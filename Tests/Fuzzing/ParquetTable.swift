// A Parquet table: its footer, and every column of texts page by page.

import Parquet
import Safetensors

extension FuzzTarget {
    static let parquet = FuzzTarget(name: "parquet") { bytes in
        let path = Scratch.write(bytes, to: "input.parquet")
        expecting(SafetensorsError.self) {
            let table = try ParquetFile(path: path)
            // Another column may be sound where one is not.
            for column in Set(table.textColumns).sorted().prefix(4) {
                expecting(SafetensorsError.self) {
                    var rows = 0
                    try table.forEachText(of: column) { row, text in
                        claim(row == rows, "row \(row) in place of \(rows)")
                        rows += 1
                        return rows < 1 << 16
                    }
                }
            }
        }
    }
}
