// What is wrong with a table, and the limits of what is read of one.

internal import Safetensors

enum TableDamage {
    /// Bytes of a footer, and of a page decompressed.
    static let largest = 1 << 30

    /// An error about a file that is no table, is damaged, or is written in a way that is not read.
    static func error(_ path: String, _ reason: String) -> SafetensorsError { SafetensorsError(.malformed, path: path, reason) }
}
