// What `cleave --version` prints: this program, the libraries that it found when it started, and what the processor can do.

import Decompression
import LinearAlgebra
import MessagePassing
import RegularExpressions
import Reporting
import Safetensors

/// Versions of the libraries as they were loaded, not as they were built with.
func versionText() -> String {
    let features = Platform.features.isEmpty ? "none that are known" : Platform.features.joined(separator: " ")
    let facts =
        [("MPI", Session.library), ("OpenBLAS", Platform.openBLAS), ("oneDNN", Platform.oneDNN), ("xxHash", Checksum.library)]
        + [("Oniguruma", RegularExpression.library)] + DecompressionLibraries.versions + [("processor", Platform.processor), ("features", features)]
    return (["cleave \(cleaveVersion)"] + facts.map { $0.0.padding(to: 11) + $0.1 }).joined(separator: "\n")
}

extension String {
    fileprivate func padding(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
