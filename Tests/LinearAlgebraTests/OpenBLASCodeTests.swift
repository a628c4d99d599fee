// The code that OpenBLAS is told to take on processors that it does not know.

import LinearAlgebra
import Testing

@Suite struct OpenBLASCodeTests {
    static let avx2 = ["avx", "fma", "f16c", "avx2"]
    static let avx512 = avx2 + ["avx512f", "avx512bw", "avx512vl"]

    @Test(arguments: [(avx512 + ["avx512_bf16"], "SkylakeX"), (avx512, "SkylakeX"), (avx2 + ["avx512f"], "Haswell"), (avx2, "Haswell")])
    func fallbackIsReplaced(features: [String], code: String) {
        #expect(OpenBLASCode.better(than: "Prescott", features: features) == code)
    }

    /// What a processor cannot run is not chosen, and a choice that OpenBLAS made for this processor stands.
    @Test(arguments: [("Prescott", ["avx"]), ("Prescott", []), ("Zen", avx512), ("Sandybridge", avx2), ("SapphireRapids", avx512), ("ARMV8", ["asimd"])])
    func elseNothingChanges(chosen: String, features: [String]) {
        #expect(OpenBLASCode.better(than: chosen, features: features) == nil)
    }
}
