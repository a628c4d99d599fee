// What decides the bits of a product besides its operands: processor and libraries.

internal import COneDNN
internal import COpenBLAS
internal import Foundation

/// The processor and the libraries of this process, which choose their code by it.
public enum Platform {
    /// The processor's own name: "AMD EPYC 9654 96-Core Processor".
    public static let processor: String = {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line.flatMap { $0.split(separator: ":").last }.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }()

    /// Processor, and versions and chosen code of OpenBLAS and oneDNN: where these are equal, so are the bits.
    public static let description: String = {
        let blas = openblas_get_config().map { String(cString: $0).split(separator: " ").prefix(2).joined(separator: " ") } ?? "OpenBLAS"
        let core = openblas_get_corename().map { String(cString: $0) } ?? "?"
        let dnn = dnnl_version().pointee
        return "\(processor), \(blas) for \(core), oneDNN \(dnn.major).\(dnn.minor).\(dnn.patch) for \(dnnl_get_effective_cpu_isa().rawValue)"
    }()
}
