// A checkpoint's tensors as the dense model has them, whichever way they are stored.

internal import Compression
internal import Failures
internal import GGUF
internal import JSON
package import Packing
package import Safetensors
package import Sharding
package import Transformers

/// The tensors of a checkpoint by the names and shapes that they have in the dense model. Scales, and whatever else belongs to the form in which a weight is
/// stored, are none of them.
package struct SourceTensors: Sendable {
    /// A tensor of the dense model.
    package struct Tensor: Sendable {
        enum Storage: Sendable {
            case plain
            /// Codes and scales of a linear.
            case packed
            /// Kept apart, since most checkpoints have tens of thousands of plain tensors.
            indirect case scaled(ScaledWeight)
            /// Rows of a GGUF file.
            indirect case rows(StoredRows)
            /// Two tensors of a GGUF file.
            indirect case latentHalves(StoredLatentHalves)
        }

        enum Numbers: Sendable {
            case stored
            /// Made from the stored numbers of this tensor, or of another. Kept apart, since most are as they are stored.
            indirect case transformed(source: String, by: TensorTransform)
        }

        /// As a result has it where it keeps its numbers.
        package let description: TensorDescription
        let storage: Storage
        /// The checkpoint's tensors of which it is made, that of its numbers first.
        package let parts: [String]
        var numbers = Numbers.stored

        /// From which tensor's numbers its own are made, and how; nil: they are as they are stored.
        var transformed: (source: String, by: TensorTransform)? {
            if case .transformed(let source, let transform) = numbers { (source, transform) } else { nil }
        }

        /// Whether its bytes in the checkpoint are those that a result has where it keeps its numbers.
        package var isPlain: Bool { if case .plain = storage { transformed == nil } else { false } }

        /// Whether the bytes of numbers lie row after row of the dense model.
        var isInOrderOfRows: Bool {
            switch storage {
            case .plain: true
            case .packed, .rows, .latentHalves: false
            case .scaled(let weight): !weight.isTransposed
            }
        }
    }

    package let index: CheckpointIndex
    /// Compressed linears; nil when the checkpoint can hold none.
    package let packed: PackedCheckpoint?
    /// Weights that are numbers times block scales.
    package let scaled: [ScaledWeight]
    /// What config.json calls the form of such weights; nil where it does not tell of any.
    package let scaledFormat: String?
    /// Whether clients of this checkpoint quantize activations.
    let quantizesActivations: Bool
    /// In which numbers they keep keys and values, in words; nil: in the model's.
    let cacheScheme: String?
    private(set) var tensors: [String: Tensor]
    /// Where channels are scaled.
    var channels: MeasuredChannels?

    /// Of a checkpoint without quantized weights.
    package init(plain index: CheckpointIndex) {
        self.index = index
        (packed, scaled, scaledFormat, quantizesActivations, cacheScheme) = (nil, [], nil, false, nil)
        tensors = index.tensors.mapValues { Tensor(description: $0.description, storage: .plain, parts: [$0.description.name]) }
    }

    /// - Parameters:
    ///   - configuration: config.json.
    ///   - packed: the compressed linears, where config.json tells of such.
    /// - Throws: `PipelineError` naming a tensor that is not as config.json has it, or is of a type that nothing reads.
    init(_ index: CheckpointIndex, _ architecture: Architecture, configuration: JSONValue, _ readers: WeightReaders?, _ packed: PackedCheckpoint?) throws {
        self.index = index
        self.packed = packed
        scaledFormat = readers?.scaled?.name
        quantizesActivations = readers?.scaled?.quantizesActivations == true || packed?.reader.quantizesActivations == true
        cacheScheme = readers?.cacheScheme
        let names = index.tensors.keys.sorted(), description = { index.tensors[$0]?.description }
        let modules = PackedCheckpoint.modules(architecture)
        do {
            scaled = try readers?.scaled?.weights(names, module: { modules[$0] ?? $0 }, description) ?? []
        } catch {
            throw PipelineError(.badInput, "\(index.directory): \(error)")
        }
        var tensors: [String: Tensor] = [:]
        var parts = Set<String>()
        let embedding = index.tensors[architecture.embedding.tokens]?.description.type.ofWeights
        let type = WeightReaders.numberType(configuration)?.elementType ?? (embedding.map { [.f32, .f16].contains($0) ? $0 : .bf16 } ?? .bf16)
        for weight in scaled {
            tensors[weight.tensor] = Tensor(
                description: try TensorDescription(name: weight.tensor, type: type, shape: weight.shape), storage: .scaled(weight), parts: weight.parts)
            parts.formUnion(weight.parts)
        }
        if let packed {
            let shapes = Dictionary(architecture.expectedTensors().map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
            for codes in names where codes.hasSuffix(packed.reader.codesSuffix) && !parts.contains(codes) {
                let linear = String(codes.dropLast(packed.reader.codesSuffix.count)), weight = linear + ".weight"
                let (own, shape) = try packed.parts(linear, shape: shapes[weight], index)
                tensors[weight] = Tensor(
                    description: try TensorDescription(name: weight, type: type, shape: shape), storage: .packed, parts: [codes] + own.filter { $0 != codes })
                parts.formUnion(own)
            }
        }
        for name in names where !parts.contains(name) {
            guard let description = description(name), !(readers != nil && Self.isLeftover(name)) else { continue }
            guard description.type.isReadable else {
                throw PipelineError(
                    .badInput,
                    "\(index.directory): tensor \(name) is of type \(description.type.rawValue), and config.json does not say in a way that Cleave knows how it is read"
                )
            }
            guard tensors.updateValue(Tensor(description: description, storage: .plain, parts: [name]), forKey: name) == nil else {
                throw PipelineError(.badInput, "\(index.directory) has \(name) both plain and compressed")
            }
        }
        self.tensors = tensors
    }

    /// Of a checkpoint of GGUF files: blocks, and rows in llama.cpp's order, as the dense model has them.
    ///
    /// - Parameter type: that a result has for what are blocks here.
    init(gguf index: CheckpointIndex, _ architecture: Architecture, type: ElementType) throws {
        self.init(plain: index)
        let model = try GGUFModel(architecture)
        let shapes = Dictionary(architecture.expectedTensors().map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        if case .latent(let heads, let columns, _) = model.attention { try joinLatentHalves(heads, columns: columns, type: type) }
        for (name, tensor) in tensors {
            if case .latentHalves = tensor.storage { continue }
            let module = name[..<(name.lastIndex(of: ".") ?? name.endIndex)]
            let stored = StoredRows(blocks: index.blocks(name), pairing: model.pairing(of: String(module)), addend: model.addend(to: name))
            guard stored.blocks != nil || stored.pairing != nil || stored.addend != 0 else { continue }
            var description = tensor.description
            if let blocks = stored.blocks?.blocks, let rowBytes = description.shape.last {
                let own = description.shape.dropLast() + [rowBytes / blocks.byteCount * blocks.columns]
                description = try TensorDescription(name: name, type: type, shape: Array(own))
            }
            // Rows that are no whole heads would be read beyond the tensor's end.
            if let shape = shapes[name], shape != description.shape {
                throw PipelineError(.badInput, "\(index.directory): tensor \(name) has shape \(description.shape), config.json says \(shape)")
            }
            tensors[name] = Tensor(description: description, storage: .rows(stored), parts: [name])
        }
    }

    /// Puts together what makes keys and values of the latent vector.
    private mutating func joinLatentHalves(_ heads: LatentShape, columns: Int, type: ElementType) throws {
        for keys in tensors.keys.filter({ $0.hasSuffix(LatentHalfRows.name(.keys, of: "")) }) {
            let name = String(keys.dropLast(LatentHalfRows.name(.keys, of: "").count))
            let halves = StoredLatentHalves(index, name, heads, columns: columns)
            guard halves.isThere(index) else {
                throw PipelineError(.badInput, "\(index.directory): the keys and values of \(name) do not have the shapes that config.json says")
            }
            let plain = halves.blocks == nil ? tensors[keys]?.description.type ?? type : type
            for half in halves.tensors { tensors[half] = nil }
            tensors[name] = Tensor(
                description: try TensorDescription(name: name, type: plain, shape: halves.shape), storage: .latentHalves(halves), parts: halves.tensors)
        }
    }

    /// Other tensors that are made from the same files.
    func with(_ tensors: [String: Tensor]) -> SourceTensors {
        var result = self
        result.tensors = tensors
        return result
    }

    /// The tensor of this name; nil where the checkpoint has none.
    package subscript(name: String) -> Tensor? { tensors[name] }

    /// Whether a weight is there as codes, which are those of its numbers.
    package func isPacked(_ name: String) -> Bool {
        if case .packed? = tensors[name]?.storage { tensors[name]?.transformed == nil } else { false }
    }

    /// What messages call the form of the weights.
    package var format: String { [packed?.reader.name, scaledFormat].compactMap { $0 }.joined(separator: " and ") }

    package var names: Dictionary<String, Tensor>.Keys { tensors.keys }

    /// All names in the order of the files' bytes.
    package var namesByPlace: [String] {
        let places = tensors.compactMap { name, tensor in index.tensors[tensor.parts[0]].map { (file: $0.file, start: $0.bytes.lowerBound, name: name) } }
        return places.sorted { ($0.file, $0.start, $0.name) < ($1.file, $1.start, $1.name) }.map(\.name)
    }

    /// Bytes of a weight of the compressed linears, everything included that they are made of.
    package func bytesPerWeight(_ plan: Plan) -> Double {
        var (bytes, weights) = (0.0, 0.0)
        for linear in plan.compressedLinears.lazy.map(\.linear) {
            guard let tensor = tensors[linear.weight] else { continue }
            let stored = tensor.parts.reduce(0) { $0 + (index.tensors[$1]?.description.byteCount ?? 0) }
            let own = Double(linear.rows * linear.columns)
            // Of a tensor that several linears share each has its part.
            bytes += Double(stored) * own / Double(max(tensor.description.shape.reduce(1, *), 1))
            weights += own
        }
        return bytes / max(weights, 1)
    }

    /// What has the form of a linear and is no part of the model, by the names that clients have for it: results keep it, and clients must not look for codes there.
    /// What predicts further tokens, and what stands beside a language model, comes as patterns of names.
    package func unreadModules(_ architecture: Architecture) -> [String] {
        let names = architecture.names, read = Set(architecture.expectedTensors().map(\.name) + [architecture.head.own.weight])
        let predictors = Set(tensors.keys.compactMap(names.predictor)).sorted().map { "re:" + $0 }
        let others = tensors.filter { name, tensor in
            tensor.description.shape.count == 2 && name.hasSuffix(".weight") && !read.contains(name) && names.blockBeyond(name) == nil
                && names.predictor(name) == nil
        }
        let parts = Set(others.keys.compactMap(names.otherPart)).sorted().map { "re:" + $0 }
        let modules = others.keys.filter { names.otherPart($0) == nil }.map { String(names.familyName($0).dropLast(".weight".count)) }
        return modules.sorted() + parts + predictors
    }

    /// The tensors of activations and caches that clients of a quantized checkpoint use beside its weights.
    private static func isLeftover(_ name: String) -> Bool {
        let ending = name[(name.lastIndex(of: ".").map(name.index(after:)) ?? name.startIndex)...]
        return leftovers.contains(String(ending))
    }

    private static let leftovers: Set = [
        "input_scale", "input_zero_point", "input_global_scale", "input_activation_scale", "activation_scale", "act_scale", "output_scale", "output_zero_point",
        "q_scale", "k_scale", "v_scale", "kv_scale",
    ]
}

extension ElementType {
    /// Whether no small number's scale is needed to make sense of it.
    fileprivate var isReadable: Bool {
        switch self {
        case .f4, .f6e2m3, .f6e3m2, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: false
        default: true
        }
    }
}
