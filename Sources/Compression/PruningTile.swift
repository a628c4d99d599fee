// A tile on its way through a method that prunes: comparisons that go through all rows of the layer are made with the layer's other tiles.

public import LinearAlgebra

/// A tile that is pruned.
///
/// For each of the `comparisons` in order, all tiles of the layer give their scores, one threshold is found among all of them, and each prunes its
/// part. Then each finishes by itself.
public protocol PruningTile: AnyObject, Sendable {
    /// The columns of each comparison.
    var comparisons: [Range<Int>] { get }
    /// Rows of the tile.
    var rows: Int { get }
    var pruning: PruningOptions { get }

    /// The scores of the weights of one comparison's columns, after all columns before them: [columns, rows]
    func scores(_ columns: Range<Int>) -> Matrix<Float>

    /// Prunes those of the columns whose scores were asked for last that have no score above the threshold.
    func prune(_ columns: Range<Int>, threshold: Float)

    /// - Parameter measuringEnergy: also computes `energy`.
    func finish(measuringEnergy: Bool) throws(CompressionError) -> SolvedTile
}

extension PruningTile {
    /// Prunes the tile by itself.
    ///
    /// - Parameter thresholds: of the comparisons; nil when the tile is the whole layer, so that they can be found here.
    /// - Returns: the tile, and the thresholds.
    public func solve(thresholds: [Float]? = nil, measuringEnergy: Bool = true) throws(CompressionError) -> (tile: SolvedTile, thresholds: [Float]) {
        var used: [Float] = []
        for (index, columns) in comparisons.enumerated() {
            let scores = scores(columns)
            let threshold = thresholds?[index] ?? RankSelection.number(at: pruning.thresholdRank(among: rows * columns.count), among: scores)
            prune(columns, threshold: threshold)
            used.append(threshold)
        }
        return (try finish(measuringEnergy: measuringEnergy), used)
    }
}

/// A tile after its method.
public enum SolvedTile: Sendable {
    case codes(QuantizedTile)
    case values(ValueTile)

    /// The weights that clients will see, into [rows, columns].
    public func dequantize(into weights: Matrix<Float>) {
        switch self {
        case .codes(let tile): tile.dequantize(into: weights)
        case .values(let tile): weights.assign(tile.values)
        }
    }

    /// As in `QuantizedTile`.
    public var loss: [Double] {
        switch self {
        case .codes(let tile): tile.loss
        case .values(let tile): tile.loss
        }
    }

    public var energy: [Double] {
        switch self {
        case .codes(let tile): tile.energy
        case .values(let tile): tile.energy
        }
    }
}

/// A tile of weights that were not quantized.
public struct ValueTile: @unchecked Sendable {
    /// [rows, columns], each exactly a number of the checkpoint's type.
    public let values: Matrix<Float>
    /// As in `QuantizedTile`.
    public let loss: [Double]
    public let energy: [Double]

    public init(values: Matrix<Float>, loss: [Double], energy: [Double]) {
        self.values = values
        self.loss = loss
        self.energy = energy
    }
}
