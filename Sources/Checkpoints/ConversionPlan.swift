// What a conversion writes: for each file of the source, the tensors that take the place of its compressed linears' own.

internal import Compression
internal import Failures
internal import JSON
internal import LinearAlgebra
internal import Models
internal import Packing
internal import Recipes
internal import Safetensors
internal import Transformers

/// A compressed linear as it lies in the source and as it shall lie in the result.
struct ConvertedLinear: Sendable {
    /// What the source calls it.
    let source: String
    /// As the source has it.
    let options: QuantizationOptions
    let shape: LinearShape
    /// As the result has it, by tiles.
    let target: PackedLinear
    let tiles: [Range<Int>]
}

/// The files of the result: those of the source by name. A tensor goes into the file where the source has what it stands for.
struct ConversionPlan: Sendable {
    let content: CheckpointContent
    /// As `content.linears`.
    let linears: [ConvertedLinear]

    /// Rows that are held unpacked at once.
    private static let rowsAtOnce = 1024

    /// - Throws: `PipelineError` naming the first linear that the format cannot carry.
    init(_ model: Model, to format: OutputFormat) throws {
        let source = model.tensors, index = source.index, directory = index.directory, names = model.architecture.names
        if format == .gguf {
            throw PipelineError(
                .badInput,
                "codes of other formats are none of GGUF's blocks: compress \(directory) with a recipe that says `format: gguf`, and a `type` such as q4_k")
        }
        if format == .spqr {
            throw PipelineError(
                .badInput, "codes of other formats are none of SpQR's: compress \(directory) with a recipe that says `method: spqr`, and `format: spqr`")
        }
        if format == .qmoe {
            throw PipelineError(
                .badInput, "codes of other formats are no ternary weights: compress \(directory) with a recipe that says `format: qmoe`, and `bits: ternary`")
        }
        if format != .dense, index.isGGUF {
            throw PipelineError(
                .badInput, "\(directory) has blocks of GGUF, which \(format.rawValue) cannot hold as they are; `--format dense` writes plain weights")
        }
        if format != .dense, let first = source.scaled.map(\.tensor).min() {
            throw PipelineError(
                .badInput,
                "\(directory): \(first) is stored in \(source.scaledFormat ?? ""), whose numbers \(format.rawValue) cannot hold as they are; `--format dense` "
                    + "writes them in the model's type, and `cleave compress` compresses them")
        }
        let all = model.architecture.linears + [model.architecture.head.linear]
        let compressed = all.filter { source.isPacked($0.weight) }
        if let packed = source.packed {
            let modelType = try model.numberType()
            linears = try compressed.map { try ConvertedLinear($0, model, packed, to: format, modelType: modelType, rowsAtOnce: Self.rowsAtOnce) }
        } else {
            linears = []
        }

        var result = OutputTensors(directory: directory)
        var files: [String: Int] = [:]
        var replaced = Set<String>()
        for (number, linear) in linears.enumerated() {
            let (name, own) = (linear.target.name, source[linear.source + ".weight"]?.parts ?? [])
            replaced.insert(linear.source + ".weight")
            guard let codes = own.first else { continue }
            for tensor in try format.weightFormat.tensors(linear.target) {
                let role = PackedRole(suffix: tensor.name.dropFirst(name.count))
                let counterpart = own.first { PackedRole(suffix: $0.dropFirst(linear.source.count)) == role }
                files[tensor.name] = index.tensors[counterpart ?? codes]?.file
                try result.append(tensor, .linear(number))
            }
        }
        for name in source.names.sorted() where !replaced.contains(name) && names.blockBeyond(name) == nil {
            guard let tensor = source[name] else { continue }
            if source.isPacked(name) {
                throw PipelineError(
                    .badInput, "\(directory): \(tensor.parts[0]) belongs to no linear of the model; only blocks' linears and heads can be converted")
            }
            let kept = try TensorDescription(name: names.familyName(name), type: tensor.description.type, shape: tensor.description.shape)
            files[kept.name] = index.tensors[tensor.parts[0]]?.file
            try result.append(kept, tensor.origin(name))
        }
        let head = model.architecture.head
        let plain =
            model.architecture.linears.filter { !source.isPacked($0.weight) }.map(\.name) + model.architecture.blocks.flatMap(\.plainLinears).map(\.name)
        let tensors = Dictionary(grouping: result.tensors) { files[$0.name] ?? 0 }
        content = CheckpointContent(
            format: format.weightFormat, linears: linears.map(\.target),
            ignored: plain.flatMap { [$0] + names.otherNames(of: $0) } + (source.isPacked(head.linear.weight) ? [] : head.modules)
                + source.unreadModules(model.architecture),
            files: index.isGGUF
                ? result.files(maxBytes: Recipe.defaultShardSize)
                : index.files.enumerated().compactMap { place, file in
                    tensors[place].map { CheckpointContent.File(name: file.name, metadata: file.metadata, tensors: $0) }
                },
            origins: result.origins)
    }
}

extension ConvertedLinear {
    fileprivate init(
        _ linear: Linear, _ model: Model, _ packed: PackedCheckpoint, to format: OutputFormat, modelType: ScaleType, rowsAtOnce: Int
    ) throws {
        source = linear.fileName
        let (options, shape) = try packed.examine(source, model.checkpoint)
        // compressed-tensors stores scales in the type of the weight that they come from; the weights of SpQR are numbers of half precision.
        let sourceType = packed.reader is CompressedTensorsReader || packed.reader is SpQRReader ? options.scaleType : modelType
        var wanted = options
        if format != .dense { wanted.scaleType = format.scaleType ?? sourceType }
        if options.hasPermutedGroups, format != .gptq, format != .gptqV2,
            let groups = try packed.tile(source, rows: 0..<min(1, shape.rows), options, shape, model.checkpoint).groupOfColumn,
            groups.enumerated().allSatisfy({ $1 == Int32($0 / options.group) })
        {
            // Said to be permuted, but groups of neighbours all the same.
            wanted.staticGroups = true
        }
        let rows = (0..<shape.rows).cut(every: rowsAtOnce)
        guard !rows.isEmpty, shape == LinearShape(rows: linear.rows, columns: linear.columns) else {
            throw PipelineError(
                .badInput, "\(model.path): \(linear.name) is [\(shape.rows), \(shape.columns)], config.json says [\(linear.rows), \(linear.columns)]")
        }
        self.options = options
        self.shape = shape
        tiles = rows
        target = PackedLinear(
            name: linear.name, otherNames: model.architecture.names.otherNames(of: linear.name), sourceType: sourceType.elementType,
            isTransposed: linear.layout == .columnsByRows, rows: shape.rows,
            tile: TileLayout(rows: rows[0].count, columns: shape.columns, options: wanted), tileCount: rows.count)
        if let refusal = format.weightFormat.refusal(target) {
            throw PipelineError(.badInput, "format \(format.rawValue) cannot carry \(linear.name): \(refusal)")
        }
    }
}

extension Model {
    /// The type of the model's numbers: what config.json says, else that of its embedding.
    fileprivate func numberType() throws -> ScaleType {
        let configuration = try JSONValue(configuration: configuration, of: path)
        switch (configuration["dtype"] ?? configuration["torch_dtype"])?.string {
        case "bfloat16": return .bf16
        case "float16": return .f16
        case "float32": return .f32
        default: return try scaleType(architecture.embedding.tokens)
        }
    }
}
