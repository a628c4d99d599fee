// An architecture whose weights are changed: which tensor in which way, so that the model computes the same function.

/// A model of the same function: with norms folded into the linears that follow them, its residual stream rotated, and short vectors and the values of its heads; or with
/// its channels scaled; or both.
///
/// With x' = R x for the residual stream x: a linear that reads it through a norm has the rows W diag(gain) R, one that writes to it R W, the embedding's rows
/// are rotated, and the norms have gain 1, since the norm of R x is R times the norm of x.
public struct EquivalentArchitecture: Sendable {
    /// Where it is rotated, with a head of its own, which has the last norm's gain.
    public let architecture: Architecture
    /// By the checkpoint's tensors.
    public internal(set) var transforms: [String: TensorTransform] = [:]
    /// The embedding's tensor where the head was tied to it and is so no more: the numbers of both are made from it.
    public let embeddingOfHead: String?
    /// Elements of the residual stream that are rotated together; nil: it is not rotated.
    public let block: Int?
    /// Attention layers, and those whose values are rotated.
    public private(set) var attentions = 0
    public private(set) var rotatedAttentions = 0
    /// Channels that are scaled, in the order of the model.
    public private(set) var channels: [Channels] = []
    /// Norms before linears, values and gated outputs whose channels stay as they are.
    public private(set) var keptChannelMakers = 0
    private let equalizes: Bool

    /// - Throws: `RotationError` where the model is none that can be rotated.
    public init(_ architecture: Architecture, _ equivalence: Equivalence) throws(RotationError) {
        let rotation = equivalence.rotation
        equalizes = equivalence.equalizes
        block = try rotation?.size(hidden: architecture.hiddenSize)
        embeddingOfHead = rotation == nil ? nil : architecture.head.embedding
        self.architecture = rotation != nil && architecture.head.isTied ? architecture.untied() : architecture
        guard let size = block else {
            for block in architecture.blocks {
                equalizeNorms(block)
                try passValues(block, rotates: false)
            }
            return
        }
        try Self.check(architecture)
        let embedding = architecture.embedding, stream = TensorTransform.Side(block: size)
        for tensor in [embedding.tokens] + (embedding.positions.map { [$0.tensor] } ?? []) { try add(TensorTransform(columns: stream), to: tensor) }
        for block in architecture.blocks {
            for stage in block.stages {
                if let norm = stage.input.normOfStream { try fold(norm, into: stage.linears + stage.effect.ownLinears, block: size) }
                switch stage.destination {
                case .residual, .pending: for linear in stage.linears { try write(linear, stream) }
                case .normalised(let norm):
                    throw Self.unfoldable(norm, "normalises what joins the residual stream")
                case .value: break
                }
            }
            if let mixture = block.mixture, let norm = mixture.input.normOfStream { try fold(norm, into: [mixture.router.linear], block: size) }
            try rotateLatents(block, atMost: size)
            try passValues(block, rotates: rotation?.heads == true)
        }
        try fold(architecture.finalNorm, into: [self.architecture.head.linear], block: size)
    }

    /// What is known of a model before its blocks are looked at.
    private static func check(_ architecture: Architecture) throws(RotationError) {
        if let norm = architecture.embedding.norm { throw unfoldable(norm, "normalises embeddings") }
        if let limit = architecture.lengthLimit, let unread = limit.unread {
            throw RotationError.unsuited(
                part: "tensors called *\(unread)*", reason: "read the residual stream and matter beyond \(limit.tokens) tokens alone, which is not computed")
        }
        if architecture.head.embedding == architecture.head.own.weight {
            throw RotationError.unsuited(
                part: architecture.head.own.weight, reason: "is the embedding too, and the two need a name each; store it once more as the embedding")
        }
    }

    private static func unfoldable(_ norm: Norm, _ what: String) -> RotationError {
        RotationError.unsuited(part: norm.weight, reason: "\(what), and no linear follows that could take its gain")
    }

    /// Linears that read through a norm what is rotated: the residual stream, or other elements in blocks of their own.
    private mutating func fold(_ norm: Norm, into linears: [Linear], block: Int) throws(RotationError) {
        let unit: Float
        switch norm.kind {
        case .rootMeanSquare: unit = 1
        case .zeroCentredRootMeanSquare: unit = 0
        case .layer:
            throw RotationError.unsuited(part: norm.weight, reason: "is of a layer norm, which takes the mean away too: only RMS norms can be folded")
        }
        try add(TensorTransform(constant: unit), to: norm.weight)
        let side = TensorTransform.Side(gain: norm, block: block)
        for linear in linears { try add(linear, inputs: side) }
    }

    /// A linear whose outputs are rotated, or scaled.
    private mutating func write(_ linear: Linear, _ side: TensorTransform.Side) throws(RotationError) {
        try add(linear, outputs: side)
        if let bias = linear.bias { try add(TensorTransform(columns: side), to: bias) }
    }

    /// Short vectors that reach one stage alone, through a norm, from linears whose outputs they are: rotated as the residual stream is.
    private mutating func rotateLatents(_ block: Block, atMost most: Int) throws(RotationError) {
        for stage in block.stages {
            guard let part = stage.input.source, let norm = stage.input.norm, norm.kind != .layer,
                let maker = block.stages.first(where: { $0.destination == .value(part.value) && $0.effect.leavesOutputs })
            else { continue }
            let reads = block.stages.flatMap { [$0.input.source].compactMap { $0 } + $0.effect.reads }
            guard reads.filter({ $0.value == part.value && $0.columns.overlaps(part.columns) }).count == 1 else { continue }
            var size = WeightRotation.largest(dividing: part.columns.count)
            while size > most { size /= 2 }
            var start = 0
            for linear in maker.linears {
                let own = part.columns.clamped(to: start..<start + linear.rows)
                if !own.isEmpty {
                    // The other columns of the linear are another vector's.
                    guard own == part.columns else { break }
                    let span = TensorTransform.Span(first: own.lowerBound - start, length: own.count, period: linear.rows)
                    try write(linear, TensorTransform.Side(block: size, span: span))
                    try fold(norm, into: stage.linears + stage.effect.ownLinears, block: size)
                }
                start += linear.rows
            }
        }
    }

    /// Outputs that reach other linears linearly, and these: values of heads are rotated where that is asked for, and all are scaled where channels are.
    private mutating func passValues(_ block: Block, rotates: Bool) throws(RotationError) {
        let readersOfValues = Dictionary(grouping: block.stages.flatMap { stage in stage.reads.map { (value: $0, stage: stage) } }, by: \.value)
        for stage in block.stages {
            if stage.effect.seesOtherTokens { attentions += 1 }
            guard let values = stage.effect.scalableValues(of: stage.linears), case .value(let result) = stage.destination else { continue }
            let readers = (readersOfValues[result] ?? []).map(\.stage)
            let isReadAlone = readers.allSatisfy { $0.input == .value(result) && $0.effect.ownLinears.isEmpty && $0.effect.reads.isEmpty }
            let linear = stage.linears[values.linear], reading = readers.flatMap(\.linears)
            let canRotate = rotates && isReadAlone && stage.effect.headValues(of: stage.linears) != nil
            let size = canRotate ? WeightRotation.largest(dividing: values.size) : 1
            var channels: Channels?
            if equalizes {
                channels = isReadAlone ? Self.channels(of: values, linear, reading) : nil
                note(channels)
            }
            guard size > 1 || channels != nil else { continue }
            let span = TensorTransform.Span(first: values.first, length: values.length, period: values.period)
            let makes = channels.map { TensorTransform.Factors(channels: $0, divides: false, span: span) }
            try write(linear, TensorTransform.Side(factors: makes, block: size, span: span))
            let reads = channels.map { TensorTransform.Factors(channels: $0, divides: true) }
            for linear in reading { try add(linear, inputs: TensorTransform.Side(factors: reads, block: size)) }
            if size > 1 { rotatedAttentions += 1 }
        }
    }

    /// Changes of a linear's weight: of its outputs, or of its inputs.
    private mutating func add(_ linear: Linear, inputs: TensorTransform.Side? = nil, outputs: TensorTransform.Side? = nil) throws(RotationError) {
        if outputs != nil, let slice = linear.slice, slice.outputs != linear.rows {
            throw RotationError.unsuited(part: linear.weight, reason: "holds outputs of several linears, of which one adds to the residual stream")
        }
        let isPlain = linear.layout == .rowsByColumns
        try add(TensorTransform(rows: isPlain ? outputs : inputs, columns: isPlain ? inputs : outputs), to: linear.weight)
    }

    private mutating func add(_ transform: TensorTransform, to tensor: String) throws(RotationError) {
        guard let merged = transforms[tensor].map({ $0.merged(transform) }) ?? transform else {
            throw RotationError.unsuited(part: tensor, reason: "is read in several places, which would change it in different ways")
        }
        transforms[tensor] = merged
    }

    /// Counts a maker of channels: those that are scaled, or nil.
    mutating func note(_ found: Channels?) {
        if let found { channels.append(found) } else { keptChannelMakers += 1 }
    }
}

extension StageInput {
    /// The norm through which the residual stream is read; nil where another value is.
    fileprivate var normOfStream: Norm? { source == nil ? norm : nil }
}
