// What makes grids of ranges, whatever numbers they hold.

import LinearAlgebra

/// The ranges of a group's rows, and the grids that shrunken ranges make. All matrices are [1, rows].
protocol GroupRanges: AnyObject {
    /// What each row's range is shrunken by where it is not searched.
    var whole: Matrix<Float> { get }

    /// Whether a grid may be turned around.
    var isSigned: Bool { get }

    /// Grids whose whole range calls for a scale that its type cannot hold well; they have the nearest one that it can.
    var clampedScales: Int { get }

    /// By what ranges are shrunken where all that a search may try is known; nil: hundredths.
    var sharesTried: [Float]? { get }

    /// Further ones above 1.
    var widerShares: [Float] { get }

    /// Takes the ranges of `values`, [columns, rows].
    func measure(_ values: Matrix<Float>)

    /// The grids of shrunken ranges.
    func makeGrids(_ shrinks: Matrix<Float>, _ scales: Matrix<Float>, _ zeros: Matrix<Float>)

    /// Gives rows that share a scale the sum of their errors.
    func share(_ errors: Matrix<Double>)
}

extension GroupRanges {
    var sharesTried: [Float]? { nil }
    var widerShares: [Float] { [] }
    func share(_ errors: Matrix<Double>) {}
}
