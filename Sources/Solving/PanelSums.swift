// Panels that are summed over ranks, on each node first: those of Hessians and those of mismatches.

internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Sharding

extension NodeGroups {
    /// What sums the panels of a matrix of so many columns. Collective; memory that one node cannot share is an error of all.
    func panelSum(columns: Int) throws -> NodeSum {
        try world.together(exitCode: exitCode) { try NodeSum(self, byteCount: Plan.sumBytes(columns: columns), atOnce: Plan.sumsAtOnce) }
    }
}

/// What a rank adds to a panel of the matrix that is to be factored, from its sum of some of the Hessian's columns.
struct HessianPanel: Summand {
    let elements: PanelPart
    /// The sum of those columns that this rank's node has.
    let part: GramSum
    /// [rows from the diagonal on, columns of the panel]; nil but on its owner.
    let panel: Matrix<Double>?

    var starts: [Int] { elements.starts }
    var isOfNode: Bool { true }

    func add(_ rows: Range<Int>, to values: UnsafeMutablePointer<Double>, isFirst: Bool) {
        elements.take(rows, from: part.panels, into: values, adding: !isFirst)
    }

    func take(_ rows: Range<Int>, _ sums: UnsafeMutablePointer<Double>) {
        if let panel { elements.put(rows, sums, into: panel) }
    }
}

/// What a rank adds to a panel of a mismatch, whose sum its owner keeps in fp32.
struct MismatchPanel: Summand {
    let starts: [Int]
    let isOfNode = false
    /// [rows of the panel, columns]
    private let values: Matrix<Double>
    /// Of the same shape; nil but on its owner.
    private let sum: Matrix<Float>?

    init(_ values: Matrix<Double>, sum: Matrix<Float>?) {
        (self.values, self.sum) = (values, sum)
        starts = (0...values.rows).map { $0 * values.columns }
    }

    func add(_ rows: Range<Int>, to values: UnsafeMutablePointer<Double>, isFirst: Bool) {
        let sums = Rows(base: values)
        parallelFor(rows.count) { row in
            let (source, target) = (self.values.row(rows.lowerBound + row), sums.base + row * self.values.columns)
            if isFirst {
                target.update(from: source, count: self.values.columns)
            } else {
                for column in 0..<self.values.columns { target[column] += source[column] }
            }
        }
    }

    func take(_ rows: Range<Int>, _ sums: UnsafeMutablePointer<Double>) {
        guard let sum else { return }
        let sums = Rows(base: sums)
        parallelFor(rows.count) { row in
            let (source, target) = (sums.base + row * values.columns, sum.row(rows.lowerBound + row))
            for column in 0..<values.columns { target[column] = Float(source[column]) }
        }
    }

    private struct Rows: @unchecked Sendable {
        let base: UnsafeMutablePointer<Double>
    }
}
