// The types of tensors in GGUF files: how many elements a block has, and how many bytes.

/// A type of ggml. Source: ggml, `ggml.h` (`enum ggml_type`) and `ggml-common.h` for the blocks.
public enum GGMLType: UInt32, Sendable, CaseIterable {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q2_k = 10
    case q3_k = 11
    case q4_k = 12
    case q5_k = 13
    case q6_k = 14
    case bf16 = 30

    /// As ggml writes it: `Q4_K`.
    public var name: String { String(describing: self).uppercased() }

    /// Elements of a block, and its bytes.
    public var block: (elements: Int, bytes: Int) {
        switch self {
        case .f32: (1, 4)
        case .f16, .bf16: (1, 2)
        case .q4_0: (32, 18)
        case .q4_1: (32, 20)
        case .q5_0: (32, 22)
        case .q5_1: (32, 24)
        case .q8_0: (32, 34)
        case .q2_k: (256, 84)
        case .q3_k: (256, 110)
        case .q4_k: (256, 144)
        case .q5_k: (256, 176)
        case .q6_k: (256, 210)
        }
    }

    /// `general.file_type` of a file most of whose weights have the type: llama.cpp's number for the mixture that is named after it.
    ///
    /// Source: llama.cpp, `llama.h` (`enum llama_ftype`).
    public var fileType: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 7
        case .q5_0: 8
        case .q5_1: 9
        case .q2_k: 10
        case .q3_k: 12
        case .q4_k: 15
        case .q5_k: 17
        case .q6_k: 18
        case .bf16: 32
        }
    }
}
