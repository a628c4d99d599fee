// One method with its settings, every default filled in.

public import Compression

/// In which order columns are quantized.
public enum ActOrder: String, Sendable, Codable, CaseIterable {
    /// As they stand.
    case off = "false"
    /// By descending diagonal of the Hessian (published as act-order).
    case columns = "true"
    /// The same among groups, and inside each: a group's columns stay together.
    case groups
}

/// Which signs the scales of symmetric grids may have.
public enum ScaleSigns: String, Sendable, Codable, CaseIterable {
    /// Negative where a group's weights reach farther on the positive side, so that the grid's longer side lies there.
    case signed
    case positive
}

/// Which outputs a linear's new weights are to give on the inputs that the compressed model hands them.
public enum Target: String, Sendable, Codable, CaseIterable {
    /// Those that its own weights give on the same inputs.
    case layer
    /// Those that its own weights give on the inputs of the dense model, so that errors of earlier linears are made up for.
    case dense
}

/// One method with its settings.
public struct Treatment: Sendable, Hashable, Codable {
    public var method: Method
    /// What weights are rounded to, of types whose bits and groups are their own; nil: integers of `bits`.
    public var type: NumberType?
    /// Which weights share a scale, of a type.
    public var strategy: ScaleStrategy?
    /// What clients do with the inputs, of a type; nil: the first of what the type has.
    public var activations: ActivationQuantization?
    /// In which numbers, where these are not the weights' own; nil: in those.
    public var activationType: NumberType?
    /// nil: weights that are kept are not quantized, and group, grid and symmetry mean nothing.
    public var bits: Int?
    /// Columns of a group; -1: the whole row.
    public var group: Int
    public var symmetric: Bool
    /// Of symmetric grids; others have positive ones.
    public var scales: ScaleSigns
    public var actOrder: ActOrder
    public var staticGroups: Bool
    public var grid: Grid
    /// Share of the mean of the Hessian's diagonal, or of each element of it (`Method.dampingScale`), that is added to it.
    public var damping: Double
    /// The damping at which a linear whose Hessian is still singular falls back.
    public var maxDamping: Double
    public var target: Target
    /// The share of the shift towards the dense model's outputs that is made; of `target: dense`.
    public var targetStrength: Double
    /// The share that is made up for of what the residual stream lost before the linear's outputs join it; of `target: dense`, nil: nothing.
    public var streamStrength: Double?
    /// Of methods that prune.
    public var sparsity: Sparsity?
    /// Columns for which SparseGPT chooses a mask at a time, over all rows; nil for patterns and other methods.
    public var maskBlock: Int?
    /// Neighbouring columns of a row that ExactOBS prunes together; nil: each by itself.
    public var sparsityBlock: Int?
    /// Of SpQR: the squared error from which a weight is an outlier, as a share of the layer's mean variance; see `SpQR.threshold`.
    public var outlierThreshold: Double?

    /// Bits of a code, and columns of a group, that methods and formats know.
    static let widths = [2, 3, 4, 8], groups = [-1, 16, 32, 64, 128]
    /// Columns of a block of zeros.
    static let sparsityBlocks = [2, 4, 8, 16]

    package init(
        method: Method, bits: Int?, group: Int, symmetric: Bool, scales: ScaleSigns = .positive, actOrder: ActOrder, staticGroups: Bool, grid: Grid,
        damping: Double, maxDamping: Double, target: Target = .layer, targetStrength: Double = 1, streamStrength: Double? = nil,
        sparsity: Sparsity? = nil, maskBlock: Int? = nil
    ) {
        self.method = method
        self.bits = bits
        self.group = group
        self.symmetric = symmetric
        self.scales = scales
        self.actOrder = actOrder
        self.staticGroups = staticGroups
        self.grid = grid
        self.damping = damping
        self.maxDamping = maxDamping
        self.target = target
        self.targetStrength = targetStrength
        self.streamStrength = streamStrength
        self.sparsity = sparsity
        self.maskBlock = maskBlock
        (type, strategy, activations, activationType, outlierThreshold, sparsityBlock) = (nil, nil, nil, nil, nil, nil)
    }

    /// What the solver is to make of a weight.
    ///
    /// - Parameters:
    ///   - type: the one in which the model stores it, and the result where it is not quantized.
    ///   - scaleType: that of the format's scales; nil: the weight's.
    ///   - leastZero: the least zero point that the format can hold.
    public func content(type: ScaleType, scaleType: ScaleType? = nil, leastZero: Int = 0) -> TileContent {
        options(scaleType: scaleType ?? type, leastZero: leastZero).map(TileContent.codes) ?? .values(type)
    }

    /// Which weights are compared when some become zero; nil when none do.
    public var pruning: PruningOptions? {
        sparsity.map { sparsity in
            PruningOptions(
                sparsity: sparsity, scope: method == .wanda ? .rows : maskBlock.map(PruningOptions.Scope.blocks) ?? .layer,
                choices: method == .admm ? ADMM.steps : 1, blockColumns: sparsityBlock ?? 1)
        }
    }

    /// How the solver quantizes; nil when it does not.
    ///
    /// - Parameters:
    ///   - scaleType: the model's type, or that of the format's scales.
    ///   - leastZero: the least zero point that the format can hold.
    public func options(scaleType: ScaleType, leastZero: Int = 0) -> QuantizationOptions? {
        guard let bits else { return nil }
        if type == .spqr { return QuantizationOptions(spqr: bits, group: group, actOrder: actOrder != .off, wholeGroups: actOrder == .groups) }
        if let type {
            return QuantizationOptions(
                type, strategy: strategy, grid: grid, actOrder: actOrder != .off, wholeGroups: actOrder == .groups && group > 0, staticGroups: staticGroups,
                scaleType: scaleType, activations: activations, activationType: activationType)
        }
        return QuantizationOptions(
            bits: bits, group: group, symmetric: symmetric, signedScales: scales == .signed, grid: grid, actOrder: actOrder != .off,
            wholeGroups: actOrder == .groups && group > 0, staticGroups: staticGroups, scaleType: scaleType, leastZero: leastZero,
            activationType: activationType)
    }
}

extension Treatment {
    /// Columns that share a scale, or what else does.
    public var groupText: String {
        switch strategy {
        case .tensor?: "tensor"
        case .block?: "\(group) x \(group)"
        case .channel?, .group?, nil: "\(group)"
        }
    }

    /// The method in a few words: `sparsegpt 0.5, 4 bits by 64`.
    public var summary: String {
        let pruned = sparsity.map { " \($0)" + (sparsityBlock.map { " in blocks of \($0)" } ?? "") } ?? ""
        if type == .spqr { return "\(method.rawValue) \(bits ?? 0) bits by \(group)" }
        if let type { return "\(method.rawValue) \(type.rawValue)" + (strategy.map { $0 == .group ? "" : " by \($0.rawValue)" } ?? "") }
        let quantized = bits.map { "\(sparsity == nil ? "" : ",") \($0) bits by \(group == -1 ? "row" : "\(group)")" } ?? ""
        return method.rawValue + pruned + quantized
    }
}
