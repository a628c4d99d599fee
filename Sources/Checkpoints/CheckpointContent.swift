// What a checkpoint that is to be written consists of: its files, their tensors, and where the bytes of each come from.

internal import Compression
package import Models
internal import Packing
package import Safetensors
package import Transformers

/// Where the bytes of an output tensor come from.
package enum TensorOrigin: Sendable {
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
    /// Rows of a tensor in an order of their own, rounded to the output's type or to blocks. Rare likewise, as are the numbers that follow from config.json.
    indirect case rows(OrderedRows)
    indirect case latentHalf(LatentHalfRows)
    indirect case constant([Float])
    /// Those of all experts of a block, one after the other.
    indirect case experts([TensorOrigin])
    /// Made from the tiles of a compressed linear (an index into `CheckpointContent.linears`).
    case linear(Int)

    /// Whether it is made from tiles.
    var isCompressed: Bool {
        switch self {
        case .linear: true
        case .experts(let parts): parts.first?.isCompressed == true
        default: false
        }
    }
}

/// How the rows of a tensor of the source go to a file.
package struct OrderedRows: Sendable {
    /// What the checkpoint calls it.
    let tensor: String
    let rows: Int
    let columns: Int
    /// nil: in their own order.
    let pairing: RowPairing?
    /// Of blocks, to which they are rounded to nearest; nil: numbers of the output's type.
    let blocks: NumberType?
    /// What is added to each number.
    var addend: Float = 0
}

/// The content of a checkpoint, known before any of it is written.
package struct CheckpointContent: Sendable {
    package struct File: Sendable {
        var name: String
        var metadata: [String: String]
        var tensors: [TensorDescription]

        package init(name: String, metadata: [String: String], tensors: [TensorDescription]) {
            (self.name, self.metadata, self.tensors) = (name, metadata, tensors)
        }
    }

    let format: any WeightFormat
    /// The compressed linears, in the order of the model.
    let linears: [PackedLinear]
    /// The linears that clients find as plain weights, the head among them; after `re:` a pattern of names.
    let ignored: [String]
    package let files: [File]
    package let origins: [String: TensorOrigin]
    /// What config.json says of keys and values of earlier tokens; nil: nothing.
    var cache: KeyValueCache?
    /// What files of GGUF say of the model and of the types of tensors; nil: files are of safetensors.
    package var gguf: GGUFContent?

    /// Bytes of all tensors.
    package var byteCount: Int { files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } } }
}

extension CheckpointContent {
    /// Without compressed linears.
    package init(files: [File], origins: [String: TensorOrigin]) {
        self.init(format: DenseFormat(), linears: [], ignored: [], files: files, origins: origins)
    }
}
