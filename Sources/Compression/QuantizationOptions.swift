// What a layer's weights are quantized to, and how the grid is found.

internal import CKernels
internal import LinearAlgebra

/// How the range of a group of weights is chosen.
public enum Grid: String, Sendable, Codable, CaseIterable {
    /// From the smallest to the largest weight, zero included (GPTQ, `quant.py`).
    case minmax
    /// The one of 80 shrunken ranges with the least sum |w - q|^2.4 (GPTQ, `quant.py`).
    case mse
    /// The one of 76 shrunken ranges with the least output error when the group is rounded at once (Marlin's GPTQ); see `GridSearch`.
    case hessian
    /// A shrunken range with the least output error when the column loop goes through the group: what the group will really cost. Of 76
    /// ranges it tries those that promise most by the columns' own errors, and neighbours of the best. Not published; for groups whose grid is found as
    /// the column loop reaches them.
    case solved

    /// Whether finding the grid takes the factor of the Hessian.
    var isHessianAware: Bool { self == .hessian || self == .solved }
}

public struct QuantizationOptions: Sendable, Equatable {
    /// What scales multiply.
    public var number: NumberType
    /// Which weights share a scale. Of integers and of types that have groups, `group` alone says it.
    public var strategy: ScaleStrategy
    /// Bits of a code: 2, 3, 4 or 8, and of blocks also 5 and 6.
    public var bits: Int
    /// Columns that share a scale and a zero: -1 for all of them, else 16 or more. Of blocks, the columns of a block.
    public var group: Int
    /// The grid's zero is the middle code.
    public var symmetric: Bool
    /// A symmetric grid may have a negative scale, so that its longer side, that of code 0, lies where the group's weights reach farther; see `GridRanges`.
    public var signedScales: Bool
    public var grid: Grid
    /// Quantize the columns in the order of descending diag(H).
    public var actOrder: Bool
    /// Act-order moves whole groups, and columns inside their group, so that groups of neighbouring columns need not be static.
    public var wholeGroups: Bool
    /// Find every group's grid in the original weights before the first column is quantized.
    public var staticGroups: Bool
    public var scaleType: ScaleType
    /// 1 for formats that store zero points less one and so cannot hold a zero point of 0; of no meaning when symmetric.
    public var leastZero: Int
    /// What clients do with the inputs.
    public var activations: ActivationQuantization
    /// In which numbers, where they round them.
    public var activationType: NumberType

    /// Integer codes.
    ///
    /// - Parameter activationType: of the numbers to which clients round inputs as they come; nil: they do not.
    public init(
        bits: Int = 4, group: Int = 128, symmetric: Bool = true, signedScales: Bool = false, grid: Grid = .minmax, actOrder: Bool = false,
        wholeGroups: Bool = false, staticGroups: Bool = false, scaleType: ScaleType = .bf16, leastZero: Int = 0, activationType: NumberType? = nil
    ) {
        number = .int
        strategy = group == -1 ? .channel : .group
        self.bits = bits
        self.group = group
        self.symmetric = symmetric
        self.signedScales = signedScales
        self.grid = grid
        self.actOrder = actOrder
        self.wholeGroups = wholeGroups
        self.staticGroups = staticGroups
        self.scaleType = scaleType
        self.leastZero = leastZero
        activations = activationType == nil ? .none : .dynamic
        self.activationType = activationType ?? .int
    }

    /// Numbers of a type that has rules of its own.
    ///
    /// - Precondition: it is not `int`.
    public init(
        _ number: NumberType, strategy: ScaleStrategy? = nil, grid: Grid = .minmax, actOrder: Bool = false, wholeGroups: Bool = false,
        staticGroups: Bool = false, scaleType: ScaleType = .bf16, activations: ActivationQuantization? = nil,
        activationType: NumberType? = nil
    ) {
        if let blocks = number.blocks {
            self.init(
                bits: blocks.bits, group: blocks.columns, grid: grid, actOrder: actOrder, wholeGroups: wholeGroups, staticGroups: staticGroups, scaleType: .f16)
            (self.number, self.activationType) = (number, number)
            return
        }
        if number == .ternary {
            self.init(bits: 2, group: -1, grid: grid, actOrder: actOrder, staticGroups: staticGroups, scaleType: scaleType)
            (self.number, self.activationType) = (number, number)
            return
        }
        guard let rules = number.rules else { preconditionFailure("\(number) has no rules of its own") }
        let strategy = strategy ?? rules.strategies[0]
        self.init(
            bits: rules.bits, group: rules.group(strategy), grid: grid, actOrder: actOrder, wholeGroups: wholeGroups, staticGroups: staticGroups,
            scaleType: scaleType)
        self.number = number
        self.strategy = strategy
        self.activations = activations ?? number.activations(strategy)[0]
        self.activationType = activationType ?? number
    }

    /// SpQR's codes, on grids that follow from the least and the largest weight.
    public init(spqr bits: Int, group: Int, actOrder: Bool = false, wholeGroups: Bool = false) {
        self.init(bits: bits, group: group, symmetric: false, actOrder: actOrder, wholeGroups: wholeGroups, scaleType: .f16)
        (number, activationType) = (.spqr, .spqr)
    }

    /// The numbers as the kernels know them.
    var kernelNumbers: cleave_numbers {
        if let blocks = number.blocks { return blocks.kernelNumbers }
        let type = number == .ternary ? Int32(cleave_ternary) : number.rules?.kernelType ?? Int32(cleave_integers)
        return cleave_numbers(type: type, max_code: Float(maxCode))
    }

    /// Whether scales depend on the largest weight of the whole tensor.
    public var needsTensorMagnitude: Bool { strategy == .tensor || hasDivisor }

    /// Whether one number for the whole tensor divides its scales.
    public var hasDivisor: Bool { number.rules?.divisor(1) != nil }

    /// The largest code.
    public var maxCode: Int { (1 << bits) - 1 }

    /// Groups of a layer with so many columns.
    public func groupCount(columns: Int) -> Int {
        group == -1 ? min(columns, 1) : (columns + group - 1) / group
    }

    /// The columns of each group; the last group is short where `group` does not divide `columns`.
    public func groups(columns: Int) -> [Range<Int>] {
        (0..<columns).cut(every: group == -1 ? max(columns, 1) : group)
    }

    /// Whether a group's grid is found when the column loop reaches the group, in the weights as they are by then.
    public var hasDynamicGroups: Bool { group != -1 && !staticGroups }

    /// Whether groups are made of columns that follow each other in the order of quantization only, not in the layer.
    public var hasPermutedGroups: Bool { hasDynamicGroups && actOrder && !wholeGroups }

    /// Whether positions in the order of quantization belong to the groups of their columns.
    var hasGroupsOfColumns: Bool { group != -1 && actOrder && !hasPermutedGroups }

    /// The width of the groups that act-order keeps together; nil when it moves columns freely.
    public var widthOfWholeGroups: Int? { actOrder && wholeGroups && group > 0 ? group : nil }

    /// - Throws: for values out of range, and for a grid that cannot be found under the other options.
    public func validate() throws(CompressionError) {
        if let rules = number.rules {
            guard rules.strategies.contains(strategy), bits == rules.bits, group == rules.group(strategy), symmetric, !signedScales else {
                throw .options("\(number.rawValue) has \(rules.bits) bits and groups of its own, and grids that are symmetric with positive scales")
            }
            guard strategy != .tensor || grid == .minmax else { throw .options("the scale of a whole tensor is not searched; grid minmax goes with it") }
        }
        if let blocks = number.blocks {
            guard bits == blocks.bits, group == blocks.columns, scaleType == .f16, grid != .solved, !hasPermutedGroups else {
                throw .options("\(number.rawValue) has bits and blocks of its own, which stay whole, and grids minmax, mse and hessian")
            }
            return
        }
        if number == .ternary {
            guard bits == 2, group == -1, symmetric, !signedScales else { throw .options("ternary numbers have codes of 2 bits, and rows that are one group") }
        }
        if number == .spqr {
            guard group > 0, !symmetric, !staticGroups, grid == .minmax, scaleType == .f16 else {
                throw .options("SpQR has groups of neighbouring columns, on asymmetric grids that it finds by itself, in half precision")
            }
        }
        guard [2, 3, 4, 8].contains(bits) else {
            throw .options("bits is \(bits), but a code has 2, 3, 4 or 8 bits")
        }
        guard group == -1 || group >= 16 else {
            throw .options("group is \(group), but a group has 16 columns or more; -1 stands for all columns")
        }
        guard !wholeGroups || (actOrder && hasDynamicGroups) else {
            throw .options("whole groups are a kind of act-order, for groups of 16 columns or more that are not static")
        }
        guard grid != .solved || hasDynamicGroups else {
            throw .options("grid solved goes with a group of 16 columns or more, and not with static groups; grid hessian goes with all")
        }
    }
}
