// Which tensors the result has, and in which file each lies.

internal import Packing
internal import Recipes
internal import Safetensors
internal import Sharding
internal import Transformers

/// The files of the result, a function of plan and source alone.
struct OutputPlan: Sendable {
    let content: CheckpointContent
    /// Of each compressed linear, in the order of its rows.
    let tiles: [[TileKey]]

    /// - Throws: `PipelineError` naming the first linear that the format cannot carry.
    init(_ plan: Plan, source: CheckpointIndex) throws {
        let format = plan.recipe.format.weightFormat
        var linears: [PackedLinear] = []
        var tilesOfLinears: [[TileKey]] = []
        var linearOfWeight: [String: Int] = [:]
        for (blockIndex, block) in plan.blocks.enumerated() {
            for (stageIndex, stage) in block.stages.enumerated() {
                for (index, linear) in stage.linears.enumerated() where linear.treatment != nil {
                    guard let type = source.tensors[linear.linear.weight]?.description.type else {
                        throw PipelineError(.badInput, "\(source.directory): tensor \(linear.linear.weight) is missing from the checkpoint")
                    }
                    let tiles = stage.tiles.indices.filter { stage.tiles[$0].linear == index }
                    let packed = PackedLinear(
                        name: linear.linear.name, sourceType: type, isTransposed: linear.linear.layout == .columnsByRows,
                        tiles: tiles.map(stage.layout))
                    if let refusal = format.refusal(packed) {
                        throw PipelineError(.badInput, "`format: \(plan.recipe.format.rawValue)` cannot carry \(packed.name): \(refusal)")
                    }
                    linearOfWeight[linear.linear.weight] = linears.count
                    linears.append(packed)
                    tilesOfLinears.append(tiles.map { TileKey(block: blockIndex, stage: stageIndex, tile: $0) })
                }
            }
        }
        var origins: [String: TensorOrigin] = [:]
        var tensors: [TensorDescription] = []
        // The order of the source keeps its reading sequential.
        for (name, tensor) in source.tensors.sorted(by: {
            ($0.value.file, $0.value.bytes.lowerBound, $0.key) < ($1.value.file, $1.value.bytes.lowerBound, $1.key)
        }) {
            if let linear = linearOfWeight[name] {
                for replacement in try format.tensors(linears[linear]) {
                    guard origins.updateValue(.linear(linear), forKey: replacement.name) == nil else {
                        throw PipelineError(.badInput, "\(source.directory) already holds a tensor named \(replacement.name)")
                    }
                    tensors.append(replacement)
                }
            } else {
                origins[name] = .source
                tensors.append(tensor.description)
            }
        }
        tiles = tilesOfLinears
        content = CheckpointContent(
            format: format, linears: linears, ignored: Self.plainLinears(plan), files: Self.cut(tensors, maxBytes: plan.recipe.maxShardSize),
            origins: origins)
    }

    /// The linears that clients find as plain weights, kept or pruned.
    private static func plainLinears(_ plan: Plan) -> [String] {
        let kept = plan.blocks.flatMap { $0.stages.flatMap { $0.linears.filter { $0.options == nil }.map(\.linear.name) } }
        return kept + [plan.architecture.head.linear.name]
    }

    /// Consecutive tensors up to a file's size; a larger tensor has a file of its own.
    private static func cut(_ tensors: [TensorDescription], maxBytes: Int) -> [CheckpointContent.File] {
        var groups: [[TensorDescription]] = [[]]
        var bytes = 0
        for tensor in tensors {
            if bytes > 0, bytes + tensor.byteCount > maxBytes {
                groups.append([])
                bytes = 0
            }
            groups[groups.count - 1].append(tensor)
            bytes += tensor.byteCount
        }
        return groups.enumerated().map {
            let name = groups.count > 1 ? ShardIndex.shardName($0 + 1, of: groups.count) : ShardIndex.singleFileName
            return CheckpointContent.File(name: name, metadata: ["format": "pt"], tensors: $1)
        }
    }

    /// Bytes of everything that stands for the weights of compressed linears.
    private var compressedBytes: Int {
        content.files.reduce(0) { sum, file in
            sum
                + file.tensors.reduce(0) { total, tensor in
                    if case .linear = content.origins[tensor.name] { total + tensor.byteCount } else { total }
                }
        }
    }

    /// Bits of a weight of the compressed linears in the result, scales and zero points included, and in the source.
    var bitsPerWeight: Double { Double(8 * compressedBytes) / Double(max(compressedWeights, 1)) }
    var sourceBitsPerWeight: Double {
        let bits = content.linears.reduce(0) { $0 + $1.rows * $1.columns * $1.sourceType.bits }
        return Double(bits) / Double(max(compressedWeights, 1))
    }

    /// Weights of all compressed linears.
    private var compressedWeights: Int { content.linears.reduce(0) { $0 + $1.rows * $1.columns } }
}

extension OutputFormat {
    var weightFormat: any WeightFormat {
        switch self {
        case .compressedTensors: CompressedTensorsFormat()
        case .gptq: GPTQFormat(zeroPoints: .lessOne)
        case .gptqV2: GPTQFormat(zeroPoints: .plain)
        case .marlin: MarlinFormat()
        case .dense: DenseFormat()
        }
    }
}
