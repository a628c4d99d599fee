// One tile through its linear's method.

internal import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import Models
internal import Packing
internal import Recipes
internal import Sharding
internal import Transformers

/// Solves single tiles of a stage; its tiles may be solved at the same time.
struct TileSolver: Sendable {
    let model: Model
    let stage: StagePlan
    /// By settings, for the treatments that need them.
    let factors: [FactorSettings: FactorOutcome]
    /// By linear, where any has need of them.
    private let tensorMagnitudes: [Float]
    /// The largest |x| over all batches of all ranks; 0 where nothing was summed.
    private let inputMagnitude: Float
    /// By linear, where any is solved by SpQR with a Hessian: the squared error from which a weight is an outlier.
    private let outlierThresholds: [Double]
    /// By tile, the weights from which it begins; others begin with the source's.
    private var targets: [Int: Matrix<Float>] = [:]

    init(
        model: Model, stage: StagePlan, factors: [FactorSettings: FactorOutcome], tensorMagnitudes: [Float], outlierThresholds: [Double], inputMagnitude: Float
    ) {
        self.outlierThresholds = outlierThresholds
        (self.model, self.stage, self.factors, self.tensorMagnitudes, self.inputMagnitude) = (model, stage, factors, tensorMagnitudes, inputMagnitude)
    }

    /// The same with other weights for some tiles to begin from.
    func beginning(with weights: [Int: Matrix<Float>]) -> TileSolver {
        var solver = self
        solver.targets = weights
        return solver
    }

    /// A factor whose R lies over the ranks, and the width of the panels in which a tile takes it.
    struct PanelwiseFactor {
        var settings: FactorSettings
        var width: Int
        var factor: StageFactor
    }

    /// The factor of a tile that takes R panel by panel, if its R is not complete here.
    func panelwiseFactor(_ index: Int) -> PanelwiseFactor? {
        let linear = stage.linears[stage.tiles[index].linear]
        guard let settings = linear.treatment.map(FactorSettings.init), let options = linear.options, linear.pruning == nil,
            !settings.inverts, case .factor(let factor)? = factors[settings], factor.complete == nil
        else { return nil }
        return PanelwiseFactor(settings: settings, width: options.panelColumns, factor: factor)
    }

    /// Makes a tile ready to take the panels of a factor.
    func begin(_ index: Int, _ factor: StageFactor) throws -> any TileInProgress {
        let (linear, treatment) = try linear(of: index)
        guard let options = linear.options else { throw PipelineError(.internalError, "no options for \(linear.linear.name)") }
        let weights = try weights(of: index), magnitude = tensorMagnitude(index)
        return try naming(index) { () throws -> any TileInProgress in
            switch treatment.method {
            case .gptq:
                try GPTQTile(
                    weights: weights, factor: factor.outline, options: options, tensorMagnitude: magnitude, measuringEnergy: stage.isSampled(index))
            case .spqr: try spqr(index, weights, factor, options)
            default: try RoundedTile(weights: weights, factor: factor.outline, options: options, tensorMagnitude: magnitude)
            }
        }
    }

    /// - Parameter thresholds: of the linear's comparisons that go through all rows, where it has such.
    func solve(_ index: Int, thresholds: [Float]?) throws -> EncodedTile {
        let tile = try solved(index, thresholds: thresholds)
        tile.note(inputMagnitude: inputMagnitude)
        return tile
    }

    private func solved(_ index: Int, thresholds: [Float]?) throws -> EncodedTile {
        let (linear, treatment) = try linear(of: index)
        guard !treatment.method.prunes else {
            return try naming(index) {
                let (tile, used) = try begin(index).solve(thresholds: thresholds, measuringEnergy: stage.isSampled(index))
                return EncodedTile(tile, layout: stage.layout(of: index), thresholds: used)
            }
        }
        guard let options = linear.options else { throw PipelineError(.internalError, "no options for \(linear.linear.name)") }
        let weights = try weights(of: index), magnitude = tensorMagnitude(index)
        return try naming(index) {
            switch (treatment.method, factors[FactorSettings(treatment)]) {
            case (.gptq, .factor(let factor)?):
                return EncodedTile(
                    try gptq(
                        weights: weights, factor: complete(factor), options: options, tensorMagnitude: magnitude, measuringEnergy: stage.isSampled(index)),
                    options: options)
            case (.obq, .factor(let factor)?):
                return EncodedTile(
                    try obq(
                        weights: weights, factor: complete(factor), inverse: inverse(factor), options: options, measuringEnergy: stage.isSampled(index)),
                    options: options)
            case (.spqr, .factor(let factor)?):
                return EncodedTile(try spqr(index, weights, factor, options).solve(complete(factor)), options: options)
            case (.spqr, .singular?):
                return EncodedTile(try SpQRTile.rounded(weights: weights, options: options), options: options)
            case (.gptq, nil), (.obq, nil), (.spqr, nil):
                throw PipelineError(.internalError, "no Hessian for \(linear.linear.name)")
            case (_, .factor(let factor)?):
                return EncodedTile(
                    try roundToNearest(weights: weights, options: options, factor: complete(factor), tensorMagnitude: magnitude), options: options)
            case (_, .singular?), (_, nil):
                return EncodedTile(try roundToNearest(weights: weights, options: options.withoutHessian, tensorMagnitude: magnitude), options: options)
            }
        }
    }

    private func spqr(_ index: Int, _ weights: Matrix<Float>, _ factor: StageFactor, _ options: QuantizationOptions) throws -> SpQRTile {
        try SpQRTile(
            weights: weights, factor: factor.outline, options: options, threshold: outlierThresholds[stage.tiles[index].linear],
            measuringEnergy: stage.isSampled(index))
    }

    /// A tile of a method that prunes, before its first comparison. Without a regular Hessian its weights are scored by their magnitude.
    func begin(_ index: Int) throws -> any PruningTile {
        let (linear, treatment) = try linear(of: index)
        guard let pruning = linear.pruning, let content = linear.content else {
            throw PipelineError(.internalError, "no sparsity for \(linear.linear.name)")
        }
        let weights = try model.weightRows(linear.linear, stage.tiles[index].rows)
        return try naming(index) { () throws -> any PruningTile in
            switch (treatment.method, factors[FactorSettings(treatment)]) {
            case (.sparsegpt, .factor(let factor)?): try SparseGPTTile(weights: weights, factor: complete(factor), pruning: pruning, content: content)
            case (.admm, .factor(let factor)?):
                try ADMMTile(
                    weights: weights, factor: complete(factor), penalised: penalised(factor), pruning: pruning, content: content)
            case (.wanda, .factor(let factor)?): try wanda(weights: weights, factor: complete(factor), pruning: pruning, content: content)
            case (.exactobs, .factor(let factor)?):
                try ExactOBSTile(weights: weights, factor: complete(factor), inverse: inverse(factor), pruning: pruning, content: content)
            case (.sparsegpt, nil), (.admm, nil), (.exactobs, nil), (.wanda, nil): throw PipelineError(.internalError, "no Hessian for \(linear.linear.name)")
            case (_, .factor(let factor)?): try magnitude(weights: weights, pruning: pruning, content: content, factor: complete(factor))
            case (_, .singular?), (_, nil): try magnitude(weights: weights, pruning: pruning, content: content.withoutHessian)
            }
        }
    }

    /// A tile after its last comparison, as bytes.
    func encode(_ index: Int, _ tile: any PruningTile, thresholds: [Float]) throws -> EncodedTile {
        try naming(index) {
            EncodedTile(try tile.finish(measuringEnergy: stage.isSampled(index)), layout: stage.layout(of: index), thresholds: thresholds)
        }
    }

    /// A tile that has taken all panels, as bytes.
    func encode(_ index: Int, _ tile: QuantizedTile) -> EncodedTile {
        let encoded = EncodedTile(tile, options: stage.layout(of: index).options)
        encoded.note(inputMagnitude: inputMagnitude)
        return encoded
    }

    /// [rows, columns]
    private func weights(of index: Int) throws -> Matrix<Float> {
        try targets[index] ?? model.weightRows(stage.linears[stage.tiles[index].linear].linear, stage.tiles[index].rows)
    }

    private func tensorMagnitude(_ index: Int) -> Float? {
        tensorMagnitudes.isEmpty ? nil : tensorMagnitudes[stage.tiles[index].linear]
    }

    private func complete(_ factor: StageFactor) throws -> Factor {
        guard let complete = factor.complete else {
            throw PipelineError(.internalError, "a tile that needs the whole of its factor, which lies over the ranks")
        }
        return complete
    }

    private func penalised(_ factor: StageFactor) throws -> Factor {
        guard let penalised = factor.penalised else { throw PipelineError(.internalError, "a tile whose factor with a penalty was not made") }
        return penalised
    }

    private func inverse(_ factor: StageFactor) throws -> InverseHessian {
        guard let inverse = factor.inverse else { throw PipelineError(.internalError, "a tile whose Hessian was not inverted") }
        return inverse
    }

    private func linear(of index: Int) throws -> (LinearPlan, Treatment) {
        let linear = stage.linears[stage.tiles[index].linear]
        guard let treatment = linear.treatment else {
            throw PipelineError(.internalError, "a tile of \(linear.linear.name), which is not to be compressed")
        }
        return (linear, treatment)
    }

    /// Runs `body`; an error of the method says whose tile it was.
    private func naming<Value>(_ index: Int, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as CompressionError {
            let tile = stage.tiles[index]
            throw PipelineError(.badInput, "\(stage.linears[tile.linear].linear.name), rows \(tile.rows): \(error)")
        }
    }
}

extension QuantizationOptions {
    /// The same codes' shape with what can be found without a Hessian.
    var withoutHessian: QuantizationOptions {
        var options = self
        if grid == .hessian || grid == .solved { options.grid = .mse }
        return options
    }
}

extension TileContent {
    fileprivate var withoutHessian: TileContent {
        if case .codes(let options) = self { .codes(options.withoutHessian) } else { self }
    }
}
