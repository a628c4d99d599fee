// Which of its code OpenBLAS should run where it does not know the processor.

internal import COpenBLAS
internal import Foundation

/// OpenBLAS has code for several generations of processors and chooses by the processor's number. A number that it does not know gets code of 2004 with a
/// quarter of the speed or less: Emerald Rapids with OpenBLAS 0.3.21, for one.
public enum OpenBLASCode {
    /// The variable by which OpenBLAS is told, read when the library is loaded.
    public static let variable = "OPENBLAS_CORETYPE"

    /// OpenBLAS's name of the code that this process runs: "SkylakeX".
    public static let chosen: String = openblas_get_corename().map { String(cString: $0) } ?? "?"

    /// The code that this process should have been started with; nil where OpenBLAS knew the processor or was told what to take.
    public static var missed: String? {
        ProcessInfo.processInfo.environment[variable] == nil ? better(than: chosen, features: Platform.features) : nil
    }

    /// - Parameters:
    ///   - chosen: OpenBLAS's name of the code that it chose.
    ///   - features: as in `Platform.features`.
    /// - Returns: the newest code that every version since 0.3.20 has and a processor of these features can run, where what was chosen is the fallback for
    ///   unknown processors (`driver/others/dynamic.c` of OpenBLAS); otherwise nil.
    package static func better(than chosen: String, features: [String]) -> String? {
        guard chosen == "Prescott" else { return nil }
        if ["avx512f", "avx512bw", "avx512vl"].allSatisfy(features.contains) { return "SkylakeX" }
        return ["avx2", "fma"].allSatisfy(features.contains) ? "Haswell" : nil
    }
}
