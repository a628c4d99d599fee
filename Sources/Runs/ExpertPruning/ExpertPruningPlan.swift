// What a model with fewer experts consists of: the source's tensors byte for byte, without those of the experts that are taken out.

internal import Checkpoints
internal import Failures
internal import Foundation
internal import JSON
internal import Models
internal import Packing
internal import Safetensors
internal import Transformers

/// The files of the result: those of the source by name. Experts have new numbers, and routers the rows of those that are kept.
struct ExpertPruningPlan {
    let content: CheckpointContent
    let configuration: JSONValue

    /// - Throws: `PipelineError` where the form of the checkpoint or its config.json does not let experts be taken out.
    init(_ model: Model, _ selection: ExpertSelection) throws {
        let index = model.checkpoint.index, names = model.architecture.names
        let places = try Places(model, selection)
        var result = OutputTensors(directory: index.directory)
        var files: [String: Int] = [:]
        for name in index.tensors.keys.sorted() where names.blockBeyond(name) == nil && names.predictor(name) == nil {
            guard let stored = index.tensors[name], let (kept, origin) = try places.result(of: stored.description) else { continue }
            files[kept.name] = stored.file
            try result.append(kept, origin)
        }
        let tensors = Dictionary(grouping: result.tensors) { files[$0.name] ?? 0 }
        content = CheckpointContent(
            files: index.files.enumerated().compactMap { place, file in
                tensors[place].map { CheckpointContent.File(name: file.name, metadata: file.metadata, tensors: $0) }
            },
            origins: result.origins)
        configuration = try Self.configuration(model, keeping: selection.keptCount, of: selection.experts)
    }

    /// The source's, with the number of experts that are kept.
    static func configuration(_ model: Model, keeping count: Int, of experts: Int) throws -> JSONValue {
        let file = model.path + "/config.json", value = try JSONValue(configuration: model.configuration, of: model.path)
        for key in WeightReaders.keys {
            guard let text = value[key]?.text(), let named = text.firstMatch(of: /experts\.\d+/) else { continue }
            throw PipelineError(
                .badInput,
                "\(file): `\(key)` names single experts (\(named.output)), whose numbers would no longer be theirs; take experts out of the model that it was made from"
            )
        }
        let changed = Architecture.configuration(value, withExperts: count, inPlaceOf: experts)
        // Whatever key says it, the program reads the new number back.
        let counts = Set(try Architecture(configuration: Data(changed.text().utf8), source: file).blocks.compactMap { $0.mixture?.experts })
        guard counts == [count] else {
            throw PipelineError(.badInput, "\(file) does not say how many experts there are, which a model with fewer of them must; add the key of its family")
        }
        return changed
    }

    /// Where the source's tensors belong.
    private struct Places {
        private let directory: String
        private let selection: ExpertSelection
        /// The block and number of an expert, by what the names of its linears begin with.
        private var experts: [String: (block: Int, expert: Int)] = [:]
        /// Blocks, by the tensors that have a part for each of their experts.
        private var shared: [String: Int] = [:]

        init(_ model: Model, _ selection: ExpertSelection) throws {
            (directory, self.selection) = (model.path, selection)
            for (block, mixture) in model.architecture.blocks.enumerated().compactMap({ block in block.element.mixture.map { (block.offset, $0) } }) {
                for tensor in mixture.router.tensors {
                    // Rows of a router share scales with others.
                    guard let parts = model.tensors[tensor]?.parts, parts == [tensor] else {
                        throw PipelineError(.badInput, "\(model.path): the router's \(tensor) is not stored as plain numbers, so no rows of it can be taken")
                    }
                    shared[tensor] = block
                }
                for expert in 0..<mixture.experts {
                    for linear in mixture.stages(of: expert).flatMap({ model.architecture.blocks[block].stages[$0].linears }) {
                        if linear.slice == nil {
                            experts[Self.module(linear.weight)] = (block, expert)
                        } else {
                            for tensor in [linear.weight, linear.bias].compactMap({ $0 }) {
                                for part in model.tensors[tensor]?.parts ?? [] { shared[part] = block }
                            }
                        }
                    }
                }
            }
        }

        /// "model.layers.0.mlp.experts.3" of "model.layers.0.mlp.experts.3.gate_proj.weight".
        private static func module(_ tensor: String) -> String { tensor.split(separator: ".").dropLast(2).joined(separator: ".") }

        /// What becomes of a tensor; nil: it is taken out.
        func result(of tensor: TensorDescription) throws -> (TensorDescription, TensorOrigin)? {
            if let block = shared[tensor.name], let kept = selection.kept[block] {
                guard tensor.shape.first == selection.experts else {
                    throw PipelineError(
                        .badInput, "\(directory): tensor \(tensor.name) has shape \(tensor.shape), expected a part for each of the \(selection.experts) experts"
                    )
                }
                let shape = [kept.count] + tensor.shape.dropFirst()
                return (try TensorDescription(name: tensor.name, type: tensor.type, shape: shape), .parts(of: tensor.name, kept: kept))
            }
            let module = Self.module(tensor.name)
            guard let (block, expert) = experts[module] else { return (tensor, .source(tensor.name)) }
            guard let place = selection.kept[block]?.firstIndex(of: expert) else { return nil }
            let name = module.split(separator: ".").dropLast().joined(separator: ".") + ".\(place)" + tensor.name.dropFirst(module.count)
            return (try TensorDescription(name: name, type: tensor.type, shape: tensor.shape), .source(tensor.name))
        }
    }
}
