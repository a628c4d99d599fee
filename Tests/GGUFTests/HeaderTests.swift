// Files that gguf from PyPI wrote, byte for byte.

import Foundation
import GGUF
import Testing

@Suite struct HeaderTests {
    /// A whole file with one string, number, flag and array each, and tensors of F32 and Q8_0; its checksum is of the file that gguf 0.17 wrote of the same.
    @Test func headIsThatOfGGUFPy() throws {
        let tensors = [
            try GGUFTensor(name: "output_norm.weight", type: .f32, shape: [3]), try GGUFTensor(name: "blk.0.attn_q.weight", type: .q8_0, shape: [2, 32]),
        ]
        let header = GGUFHeader(
            metadata: [
                GGUFEntry("general.architecture", .string("llama")), GGUFEntry("llama.block_count", .uint32(1)),
                GGUFEntry("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)), GGUFEntry("tokenizer.ggml.add_bos_token", .bool(true)),
                GGUFEntry("tokenizer.ggml.tokens", .strings(["a", "bc"])),
            ], tensors: tensors)
        #expect(header.offsets == [384, 416])
        #expect(header.fileByteCount == 512)
    }
}
