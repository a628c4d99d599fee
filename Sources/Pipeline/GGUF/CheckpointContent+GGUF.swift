// Which tensors a GGUF result has: names, types, and where the bytes of each come from.

internal import Compression
internal import GGUF
internal import Packing
internal import Recipes
internal import Safetensors
internal import Sharding
internal import Transformers

extension CheckpointContent {
    /// - Parameters:
    ///   - linears: the compressed ones; `places`: theirs by their weights' tensors.
    ///   - source: tensors that the architecture does not know are left out, since no reader of GGUF would know them.
    init(gguf model: GGUFModel, _ linears: [PackedLinear], _ places: [String: Int], of plan: Plan, source: SourceTensors) throws {
        let architecture = plan.architecture, most = Self.typeOfMost(linears)
        var result = OutputTensors(directory: source.index.directory)
        var tensors: [String: GGUFTensor] = [:]
        func append(_ name: String, _ type: GGMLType, _ shape: [Int], _ origin: TensorOrigin) throws {
            let tensor = try GGUFTensor(name: name, type: type, shape: shape)
            tensors[name] = tensor
            // Blocks are described by their bytes.
            let element = type.elementType, stored = element == .u8 ? shape.dropLast() + [tensor.rowBytes] : shape
            try result.append(TensorDescription(name: name, type: element, shape: Array(stored)), origin)
        }
        let expected = Dictionary(architecture.expectedTensors().map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        for stored in source.namesByPlace {
            guard let shape = expected[stored], let own = source[stored]?.description else { continue }
            let module = architecture.names.familyName(stored)
            guard let name = GGUFNames.name(of: module) else { throw PipelineError(.internalError, "GGUF has no name for \(module)") }
            if let place = places[stored], let type = GGMLType(linears[place].options.number) {
                try append(name, type, shape, .linear(place))
                continue
            }
            let columns = shape[shape.count - 1], isMatrix = shape.count == 2
            let pairing = model.pairing(of: String(module.dropLast(isMatrix ? ".weight".count : ".bias".count)))
            func rows(_ blocks: NumberType?) -> TensorOrigin {
                .rows(OrderedRows(tensor: stored, rows: shape[0], columns: isMatrix ? columns : 1, pairing: pairing, blocks: blocks))
            }
            if stored == architecture.embedding.tokens || stored == architecture.head.linear.weight {
                let isHead = stored == architecture.head.linear.weight
                guard let blocks = Self.type(besideMost: most, isHead: isHead).fitting(columns: columns), let type = GGMLType(blocks) else {
                    throw PipelineError(.badInput, "`format: gguf` cannot carry \(stored): its \(columns) columns are no whole blocks of 32")
                }
                try append(name, type, shape, rows(blocks))
            } else if isMatrix {
                try append(name, GGMLType(own.type.ofWeights), shape, pairing == nil ? .numbers(stored) : rows(nil))
            } else {
                try append(name, .f32, shape, pairing == nil ? .numbers(stored) : rows(nil))
            }
        }
        if let factors = model.frequencyFactors { try append(GGUFNames.frequencyFactors, .f32, [factors.count], .constant(factors)) }
        self.init(
            format: GGUFFormat(), linears: linears, ignored: [], files: result.files(maxBytes: plan.recipe.maxShardSize, name: GGUFContent.fileName),
            origins: result.origins, gguf: GGUFContent(model: model, tensors: tensors, type: GGMLType(most) ?? .f32))
    }

    /// The type of most weights; the first in the order of types where two have as many.
    private static func typeOfMost(_ linears: [PackedLinear]) -> NumberType {
        let weights = linears.reduce(into: [NumberType: Int]()) { $0[$1.options.number, default: 0] += $1.rows * $1.columns }
        let most = weights.values.max() ?? 0
        return NumberType.allCases.first { weights[$0] == most } ?? .q8_0
    }

    /// The type of what is not solved for: llama.cpp's own choice, a head in `q6_k` or `q8_0`, and an embedding beside it like most weights.
    private static func type(besideMost type: NumberType, isHead: Bool) -> NumberType {
        type == .q8_0 ? .q8_0 : isHead ? .q6_k : type
    }
}

extension GGMLType {
    /// nil of types that GGUF does not have.
    init?(_ number: NumberType) {
        guard number.blocks != nil, let type = Self.allCases.first(where: { $0.name.lowercased() == number.rawValue }) else { return nil }
        self = type
    }

    /// Of weights that keep their type.
    fileprivate init(_ type: ElementType) {
        switch type {
        case .f16: self = .f16
        case .bf16: self = .bf16
        default: self = .f32
        }
    }

    /// The elements of a tensor; bytes of blocks.
    fileprivate var elementType: ElementType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        default: .u8
        }
    }
}
