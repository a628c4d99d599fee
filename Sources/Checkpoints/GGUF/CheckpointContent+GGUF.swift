// Which tensors a GGUF result has: names, types, and where the bytes of each come from.

internal import Compression
internal import Failures
internal import GGUF
internal import Models
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
        let types = GGUFTypes(linears, plan)
        var result = GGUFTensors(directory: source.index.directory)
        let expected = Dictionary(plan.architecture.expectedTensors().map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let experts = ExpertStacks(plan.architecture, model.family.names)
        for stored in source.namesByPlace {
            guard let shape = expected[stored], source[stored] != nil else { continue }
            if let stack = experts.stack(of: stored) {
                // It stands where the first of its experts stands in the source.
                if result.tensors[stack.name] == nil { try result.append(stack, linears, places, source) }
                continue
            }
            let module = plan.architecture.names.familyName(stored)
            if let half = model.family.names.latentName(of: module), case .latent(let heads, _, _) = model.attention {
                try result.append(stored, half, heads, columns: shape[1], source)
                continue
            }
            guard let name = model.family.names.name(of: module) else { throw PipelineError(.internalError, "GGUF has no name for \(module)") }
            if let place = places[stored], let type = GGMLType(linears[place].options.number) {
                try result.append(name, type, shape, .linear(place))
            } else {
                try result.append(name, kept: stored, module, shape, model, types, source)
            }
        }
        if let factors = model.frequencyFactors { try result.append(GGUFNames.frequencyFactors, .f32, [factors.count], .constant(factors)) }
        self.init(
            format: GGUFFormat(), linears: linears, ignored: [],
            files: result.listed.files(maxBytes: plan.recipe.maxShardSize, name: GGUFPart.fileName), origins: result.listed.origins,
            gguf: GGUFContent(model: model, tensors: result.tensors, type: types.ofFile))
    }
}

/// The tensors of a GGUF result while they are listed.
private struct GGUFTensors {
    private(set) var tensors: [String: GGUFTensor] = [:]
    private(set) var listed: OutputTensors

    init(directory: String) { listed = OutputTensors(directory: directory) }

    mutating func append(_ name: String, _ type: GGMLType, _ shape: [Int], _ origin: TensorOrigin) throws {
        let tensor = try GGUFTensor(name: name, type: type, shape: shape)
        tensors[name] = tensor
        // Blocks are described by their bytes.
        let element = type.elementType, stored = element == .u8 ? shape.dropLast() + [tensor.rowBytes] : shape
        try listed.append(TensorDescription(name: name, type: element, shape: Array(stored)), origin)
    }

    /// A tensor that is not solved for.
    ///
    /// - Parameters:
    ///   - stored: what the checkpoint calls it; `module`: its family.
    mutating func append(
        _ name: String, kept stored: String, _ module: String, _ shape: [Int], _ model: GGUFModel, _ types: GGUFTypes, _ source: SourceTensors
    ) throws {
        let architecture = model.architecture, columns = shape[shape.count - 1], isMatrix = shape.count == 2
        let pairing = model.pairing(of: String(module.dropLast(isMatrix ? ".weight".count : ".bias".count)))
        let addend = model.addend(to: module)
        func rows(_ blocks: NumberType?) -> TensorOrigin {
            .rows(OrderedRows(tensor: stored, rows: shape[0], columns: isMatrix ? columns : 1, pairing: pairing, blocks: blocks, addend: addend))
        }
        let numbers = pairing == nil && addend == 0 ? TensorOrigin.numbers(stored) : rows(nil)
        if stored == architecture.embedding.tokens || stored == architecture.head.linear.weight {
            let (type, blocks) = try types.ofKept(stored, isHead: stored == architecture.head.linear.weight, columns: columns)
            try append(name, type, shape, rows(blocks))
        } else if isMatrix, model.family.names.isSingleRow(module) {
            try append(name, .f32, [columns], numbers)
        } else if isMatrix, !model.isRouter(stored), let own = source[stored]?.description {
            try append(name, GGMLType(own.type.ofWeights), shape, numbers)
        } else {
            try append(name, .f32, shape, numbers)
        }
    }

    /// The tensors of what makes keys and values of the latent vector.
    mutating func append(_ stored: String, _ name: (GGUFNames.LatentHalf) -> String, _ heads: LatentShape, columns: Int, _ source: SourceTensors) throws {
        let type = GGMLType(source[stored]?.description.type.ofWeights ?? .f32)
        for half in GGUFNames.LatentHalf.allCases {
            let rows = LatentHalfRows(tensor: stored, half: half, heads: heads, columns: columns)
            try append(name(half), type, rows.shape, .latentHalf(rows))
        }
    }

    /// The tensor of a linear of all experts of a block.
    mutating func append(_ stack: ExpertStack, _ linears: [PackedLinear], _ places: [String: Int], _ source: SourceTensors) throws {
        let shape = [stack.linears.count, stack.linears[0].rows, stack.linears[0].columns]
        let compressed = stack.linears.compactMap { places[$0.weight] }
        if compressed.isEmpty {
            // F32 holds the numbers of all types.
            let own = Set(stack.linears.compactMap { source[$0.weight]?.description.type.ofWeights })
            let type = own.count == 1 ? own.first ?? .f32 : .f32
            return try append(stack.name, GGMLType(type), shape, .experts(stack.linears.map { .weight(of: $0) }))
        }
        guard compressed.count == stack.linears.count, let type = GGMLType(linears[compressed[0]].options.number),
            compressed.allSatisfy({ linears[$0].options.number == linears[compressed[0]].options.number })
        else { throw PipelineError(.internalError, "\(stack.name) of experts that are stored in several ways") }
        try append(stack.name, type, shape, .experts(compressed.map { .linear($0) }))
    }
}

extension GGUFModel {
    /// Whether a tensor of the checkpoint says which experts a token goes to.
    fileprivate func isRouter(_ tensor: String) -> Bool { architecture.blocks.contains { $0.mixture?.router.linear.weight == tensor } }
}
