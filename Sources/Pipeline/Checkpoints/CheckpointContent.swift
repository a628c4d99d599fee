// What a checkpoint that is to be written consists of: its files, their tensors, and where the bytes of each come from.

internal import Packing
internal import Safetensors
internal import Transformers

/// Where the bytes of an output tensor come from.
enum TensorOrigin: Sendable {
    /// Copied from the source checkpoint, where it has this name.
    case source(String)
    /// Some of the equal parts of a tensor of the source, along its first dimension.
    case parts(of: String, kept: [Int])
    /// The numbers of a tensor that the source has in another form, rounded to the output's type.
    case numbers(String)
    /// The weight, or the bias, of a linear that is a part of a larger tensor in the source, rounded likewise.
    /// Rare, so its linear is kept apart: there is an origin for every tensor.
    indirect case weight(of: Linear)
    indirect case bias(of: Linear)
    /// Made from the tiles of a compressed linear (an index into `CheckpointContent.linears`).
    case linear(Int)
}

/// The content of a checkpoint, known before any of it is written.
struct CheckpointContent: Sendable {
    struct File: Sendable {
        var name: String
        var metadata: [String: String]
        var tensors: [TensorDescription]
    }

    let format: any WeightFormat
    /// The compressed linears, in the order of the model.
    let linears: [PackedLinear]
    /// The linears that clients find as plain weights, the head among them; after `re:` a pattern of names.
    let ignored: [String]
    let files: [File]
    let origins: [String: TensorOrigin]

    /// Bytes of all tensors.
    var byteCount: Int { files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } } }
}
