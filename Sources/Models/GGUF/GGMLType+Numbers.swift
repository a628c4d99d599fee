// The types of GGUF's tensors as types of numbers, and as those of other checkpoints.

package import Compression
package import GGUF
package import Safetensors

extension GGMLType {
    /// nil of types that GGUF does not have.
    package init?(_ number: NumberType) {
        guard number.blocks != nil, let type = GGMLType(named: number.rawValue) else { return nil }
        self = type
    }

    /// By its name in recipes.
    package init?(named name: String) {
        guard let type = Self.allCases.first(where: { $0.name.lowercased() == name }) else { return nil }
        self = type
    }

    /// Whether its numbers are read.
    var isRead: Bool { [.f32, .f16, .bf16].contains(self) || NumberType(rawValue: name.lowercased())?.blocks != nil }

    /// Of weights that keep their type.
    package init(_ type: ElementType) {
        switch type {
        case .f16: self = .f16
        case .bf16: self = .bf16
        default: self = .f32
        }
    }

    /// The elements of a tensor; bytes of blocks.
    package var elementType: ElementType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        default: .u8
        }
    }
}
