// What decides the bits of a product besides its operands: processor and libraries.

internal import COneDNN
internal import COpenBLAS
internal import Foundation

/// The processor and the libraries of this process, which choose their code by it.
public enum Platform {
    /// The processor's own name: "AMD EPYC 9654 96-Core Processor".
    public static let processor: String = {
        line(of: "model name")?.joined(separator: " ") ?? "unknown processor"
    }()

    /// What this processor can do of what the kernels and the libraries choose their code by, in the system's words: "avx2", "amx_bf16".
    public static let features: [String] = {
        let known = [
            "avx", "fma", "f16c", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8",
            "amx_bf16", "asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2",
        ]
        let found = Set(line(of: "flags") ?? line(of: "Features") ?? [])
        return known.filter(found.contains)
    }()

    /// Version and chosen code: "0.3.21 for SkylakeX".
    public static let openBLAS: String = {
        let version = openblas_get_config().map { String(cString: $0).split(separator: " ").dropFirst().first.map(String.init) ?? "?" } ?? "?"
        return "\(version) for \(OpenBLASCode.chosen)"
    }()

    public static let oneDNN: String = {
        let version = dnnl_version().pointee
        return "\(version.major).\(version.minor).\(version.patch)"
    }()

    /// The words behind the first line of /proc/cpuinfo with a name; nil where there is none.
    private static func line(of name: String) -> [String]? {
        let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
        return lines.first { $0.hasPrefix(name) }?.split(separator: ":").last.map { $0.split(separator: " ").map(String.init) }
    }

    /// Processor, and versions and chosen code of OpenBLAS and oneDNN: where these are equal, so are the bits.
    public static let description: String = {
        return "\(processor), OpenBLAS \(openBLAS), oneDNN \(oneDNN) for \(dnnl_get_effective_cpu_isa().rawValue)"
    }()
}
