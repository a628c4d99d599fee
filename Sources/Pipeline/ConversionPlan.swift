// What a conversion writes: for each file of the source, the tensors that take the place of its compressed linears' own.

internal import Compression
internal import JSON
internal import Packing
internal import Recipes
internal import Safetensors
internal import Transformers

/// A compressed linear as it lies in the source and as it shall lie in the result.
struct ConvertedLinear: Sendable {
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
    init(_ model: Model, _ packed: PackedCheckpoint, to format: OutputFormat) throws {
        let index = model.checkpoint.index
        let all = model.architecture.linears + [model.architecture.head.linear]
        let compressed = all.filter { packed.holds($0.weight, index) }
        let modelType = try model.numberType()
        linears = try compressed.map { try ConvertedLinear($0, model, packed, to: format, modelType: modelType, rowsAtOnce: Self.rowsAtOnce) }

        var (origins, tensors): ([String: TensorOrigin], [[TensorDescription]]) = ([:], index.files.map { _ in [] })
        var replaced = Set<String>()
        for (number, linear) in linears.enumerated() {
            let name = linear.target.name
            let own = packed.reader.parts(linear.shape, linear.options).map(\.suffix).filter { index.tensors[name + $0] != nil }
            replaced.formUnion(own.map { name + $0 })
            guard let codes = index.tensors[name + packed.reader.codesSuffix]?.file else { continue }
            for tensor in try format.weightFormat.tensors(linear.target) {
                let role = PackedRole(suffix: tensor.name.dropFirst(name.count))
                let counterpart = own.first { PackedRole(suffix: $0) == role }
                tensors[counterpart.flatMap { index.tensors[name + $0]?.file } ?? codes].append(tensor)
                origins[tensor.name] = .linear(number)
            }
        }
        for (name, tensor) in index.tensors.sorted(by: { $0.key < $1.key }) where !replaced.contains(name) {
            guard origins.updateValue(.source, forKey: name) == nil else {
                throw PipelineError(.badInput, "\(index.directory) already holds a tensor named \(name)")
            }
            if name.hasSuffix(packed.reader.codesSuffix) {
                throw PipelineError(.badInput, "\(index.directory): \(name) belongs to no linear of the model; only blocks' linears and heads can be converted")
            }
            tensors[tensor.file].append(tensor.description)
        }
        content = CheckpointContent(
            format: format.weightFormat, linears: linears.map(\.target), ignored: all.filter { !packed.holds($0.weight, index) }.map(\.name),
            files: zip(index.files, tensors).filter { !$0.1.isEmpty }.map { .init(name: $0.name, metadata: $0.metadata, tensors: $1) },
            origins: origins)
    }
}

extension ConvertedLinear {
    fileprivate init(
        _ linear: Linear, _ model: Model, _ packed: PackedCheckpoint, to format: OutputFormat, modelType: ScaleType, rowsAtOnce: Int
    ) throws {
        let (options, shape) = try packed.examine(linear.name, model.checkpoint)
        // compressed-tensors stores scales in the type of the weight that they come from.
        let sourceType = packed.reader is CompressedTensorsReader ? options.scaleType : modelType
        var wanted = options
        if format != .dense { wanted.scaleType = format.scaleType ?? sourceType }
        if options.hasPermutedGroups, format != .gptq, format != .gptqV2,
            let groups = try packed.tile(linear.name, rows: 0..<min(1, shape.rows), options, shape, model.checkpoint).groupOfColumn,
            groups.enumerated().allSatisfy({ $1 == Int32($0 / options.group) })
        {
            // Said to be permuted, but groups of neighbours all the same.
            wanted.staticGroups = true
        }
        let rows = stride(from: 0, to: shape.rows, by: rowsAtOnce).map { $0..<min($0 + rowsAtOnce, shape.rows) }
        guard !rows.isEmpty, shape == LinearShape(rows: linear.rows, columns: linear.columns) else {
            throw PipelineError(
                .badInput, "\(model.path): \(linear.name) is [\(shape.rows), \(shape.columns)], config.json says [\(linear.rows), \(linear.columns)]")
        }
        self.options = options
        self.shape = shape
        tiles = rows
        target = PackedLinear(
            name: linear.name, sourceType: sourceType.elementType, isTransposed: linear.layout == .columnsByRows,
            tiles: rows.map { TileLayout(rows: $0.count, columns: shape.columns, options: wanted) })
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
