// Which tensors the result has, and in which file each lies.

internal import Failures
package import Models
internal import Packing
internal import Recipes
internal import Safetensors
package import Sharding
internal import Transformers

/// The files of the result, a function of plan and source, and where tensors are as long as their content makes them, of the solved tiles.
package struct OutputPlan: Sendable {
    package let content: CheckpointContent
    /// The first tile of each compressed linear; the others of its rows follow it.
    private let firstTiles: [TileKey]
    /// Bits of a weight of the compressed linears in the source, scales included.
    let sourceBitsPerWeight: Double

    /// - Parameters:
    ///   - entries: of each compressed linear of the plan, where the format has such and all tiles are solved; nil: sizes are expected ones.
    ///   - cache: the largest keys and values, where the result has scales of them and they are measured.
    /// - Throws: `PipelineError` naming the first linear that the format cannot carry.
    package init(_ plan: Plan, source: SourceTensors, entries: [Int]? = nil, cache: CacheRecord? = nil) throws {
        if plan.recipe.format == .qmoe, !plan.architecture.hasExperts {
            throw PipelineError(
                .badInput, "`format: qmoe` is for mixtures of experts, and \(source.index.directory) has no experts; use `format: dense` for ternary weights")
        }
        let format = plan.recipe.format.weightFormat, directory = source.index.directory
        var linears: [PackedLinear] = []
        var firstTiles: [TileKey] = []
        var placeOfLinear: [String: Int] = [:]
        // Linears whose weights share a tensor, by its name; those of whole tensors are alone there.
        var sharers: [String: [Linear]] = [:]
        let count = plan.compressedLinears.count
        linears.reserveCapacity(count)
        firstTiles.reserveCapacity(count)
        let gguf = try plan.recipe.format == .gguf ? GGUFModel(plan.architecture) : nil
        for (blockIndex, block) in plan.blocks.enumerated() {
            for (stageIndex, stage) in block.stages.enumerated() {
                for (index, linear) in stage.linears.enumerated() {
                    let (own, weight) = (linear.linear, linear.linear.weight)
                    if own.slice != nil { for tensor in [weight, own.bias].compactMap({ $0 }) { sharers[tensor, default: []].append(own) } }
                    guard linear.treatment != nil else { continue }
                    guard let found = source[weight]?.description else {
                        throw PipelineError(.badInput, "\(directory): tensor \(weight) is missing from the checkpoint")
                    }
                    let tiles = stage.tiles(of: index)
                    let packed = PackedLinear(
                        // The result has the family's names, which every client knows; each slice of a tensor is a weight of its own there.
                        name: own.name, otherNames: plan.architecture.names.otherNames(of: own.name), sourceType: found.type.ofWeights,
                        isTransposed: own.layout == .columnsByRows && own.slice == nil, rows: own.rows, tile: stage.layout(of: tiles.lowerBound),
                        tileCount: tiles.count, pairing: gguf?.pairing(of: own.name), entries: entries?[linears.count])
                    let isOfExpert = block.block.expert(ofStage: stageIndex) != nil
                    if let refusal = format.refusal(packed) ?? gguf?.refusal(of: own) ?? plan.recipe.format.refusal(of: own, isOfExpert: isOfExpert) {
                        throw PipelineError(.badInput, "`format: \(plan.recipe.format.rawValue)` cannot carry \(packed.name): \(refusal)")
                    }
                    placeOfLinear[own.slice == nil ? weight : own.name] = linears.count
                    linears.append(packed)
                    firstTiles.append(TileKey(block: blockIndex, stage: stageIndex, tile: tiles.lowerBound))
                }
            }
        }
        self.firstTiles = firstTiles
        sourceBitsPerWeight = 8 * source.bytesPerWeight(plan)
        if let gguf {
            content = try CheckpointContent(gguf: gguf, linears, placeOfLinear, of: plan, source: source)
            return
        }
        var result = OutputTensors(directory: directory)
        let names = plan.architecture.names
        // The order of the source keeps its reading sequential.
        for name in source.namesByPlace {
            guard let tensor = source[name], names.blockBeyond(name) == nil else { continue }
            if let linear = placeOfLinear[name] {
                for replacement in try format.tensors(linears[linear]) { try result.append(replacement, .linear(linear)) }
            } else if let slices = sharers[name] {
                for slice in slices {
                    if slice.weight == name, let linear = placeOfLinear[slice.name] {
                        for replacement in try format.tensors(linears[linear]) { try result.append(replacement, .linear(linear)) }
                    } else {
                        let type = tensor.description.type.ofWeights, isWeight = slice.weight == name
                        try result.append(
                            TensorDescription(
                                name: slice.name + (isWeight ? ".weight" : ".bias"), type: type, shape: isWeight ? [slice.rows, slice.columns] : [slice.rows]),
                            isWeight ? .weight(of: slice) : .bias(of: slice))
                    }
                }
            } else {
                try result.append(
                    TensorDescription(name: names.familyName(name), type: tensor.description.type, shape: tensor.description.shape), tensor.origin(name))
            }
        }
        try result.append(scalesOf: plan, source: source, cache)
        content = CheckpointContent(
            format: format, linears: linears, ignored: Self.plainLinears(plan) + source.unreadModules(plan.architecture),
            files: result.files(maxBytes: plan.recipe.maxShardSize), origins: result.origins, cache: plan.recipe.cache)
    }

    /// A tile of a compressed linear, by the indices of both.
    func tile(_ linear: Int, _ tile: Int) -> TileKey {
        let first = firstTiles[linear]
        return TileKey(block: first.block, stage: first.stage, tile: first.tile + tile)
    }

    /// The linears that clients find as plain weights, kept or pruned, by the names that clients have for them.
    private static func plainLinears(_ plan: Plan) -> [String] {
        let kept = plan.blocks.flatMap { $0.stages.flatMap { $0.linears.filter { $0.options == nil }.map(\.linear.name) } }
        return (kept + plan.architecture.plainModules).flatMap { [$0] + plan.architecture.names.otherNames(of: $0) }
    }

    /// Bytes of everything that stands for the weights of compressed linears.
    private var compressedBytes: Int {
        content.files.reduce(0) { sum, file in
            sum
                + file.tensors.reduce(0) { total, tensor in
                    content.origins[tensor.name]?.isCompressed == true ? total + tensor.byteCount : total
                }
        }
    }

    /// Bits of a weight of the compressed linears in the result, scales and zero points included.
    var bitsPerWeight: Double { Double(8 * compressedBytes) / Double(max(compressedWeights, 1)) }

    /// Weights of all compressed linears.
    private var compressedWeights: Int { content.linears.reduce(0) { $0 + $1.rows * $1.columns } }
}

extension OutputFormat {
    /// Why clients of the format, in whose place in the model it stands, cannot carry a linear; nil when they can.
    fileprivate func refusal(of linear: Linear, isOfExpert: Bool) -> String? {
        guard self == .spqr else { return nil }
        if linear.bias != nil { return "its clients have no bias in such linears; name it under `ignore`, or use `format: dense`" }
        if isOfExpert { return "no client takes experts in it; name them under `ignore`, or use `format: dense`" }
        return nil
    }

    var weightFormat: any WeightFormat {
        switch self {
        case .compressedTensors: CompressedTensorsFormat()
        case .gptq: GPTQFormat(zeroPoints: .lessOne)
        case .gptqV2: GPTQFormat(zeroPoints: .plain)
        case .marlin: MarlinFormat()
        case .dense: DenseFormat()
        case .gguf: GGUFFormat()
        case .qmoe: QMoEFormat()
        case .spqr: SpQRFormat()
        }
    }
}
