// What a panel of the matrix to be factored takes from some columns of the Hessian.

public import LinearAlgebra

/// The elements of a panel, on and below its diagonal, that lie in some columns of the Hessian's upper triangle.
///
/// Order scatters the columns of a Hessian over the panels of the matrix. A Hessian that is summed a few columns at a time reaches its panels by these
/// parts: each is a run of values in an order that follows from the plan alone, so that the runs of several ranks can be added.
public struct PanelPart: Sendable {
    private let hessianColumns: Range<Int>
    /// The Hessian's column of each of the panel's columns, and of each of its rows.
    private let columns: [Int]
    private let rows: [Int]
    /// The panel's columns that lie in the Hessian's, and those that do so or lie before them.
    private let inside: [Int]
    private let upTo: [Int]
    /// Where the values of each row begin, and the end.
    private let starts: [Int]

    /// - Parameters:
    ///   - panel: columns of the matrix.
    ///   - hessianColumns: columns of the Hessian.
    public init(_ plan: FactorPlan, panel: Range<Int>, hessianColumns: Range<Int>) {
        self.hessianColumns = hessianColumns
        columns = panel.map(plan.column)
        rows = (panel.lowerBound..<plan.columns).map(plan.column)
        inside = columns.indices.filter { [columns] in hessianColumns.contains(columns[$0]) }
        upTo = columns.indices.filter { [columns] in columns[$0] < hessianColumns.upperBound }
        let counts = rows.indices.map { [rows, inside, upTo] row in
            let taken = Self.taken(rows[row], hessianColumns, inside, upTo)
            // Nothing above the diagonal.
            return row < panel.count ? taken.prefix { $0 <= row }.count : taken.count
        }
        starts = counts.reduce(into: [0]) { $0.append($0.last! + $1) }
    }

    /// The panel's columns whose element in a row lies in the Hessian's columns: the larger of the element's two numbers does.
    private static func taken(_ row: Int, _ hessianColumns: Range<Int>, _ inside: [Int], _ upTo: [Int]) -> [Int] {
        row >= hessianColumns.upperBound ? [] : row >= hessianColumns.lowerBound ? upTo : inside
    }

    /// The number of elements.
    public var count: Int { starts.last ?? 0 }

    /// Copies the elements out of a Hessian's columns.
    /// - Parameter sum: [hessianColumns.upperBound, hessianColumns.count], upper triangle.
    public func take(from sum: Matrix<Double>, into values: UnsafeMutableBufferPointer<Double>) {
        precondition(values.count == count && sum.columns == hessianColumns.count, "\(values.count) places for \(count) elements")
        forEachRow(values) { row, places, target in
            let a = rows[row], base = sum.base - hessianColumns.lowerBound
            columns.withUnsafeBufferPointer { columns in
                for (index, place) in places.enumerated() {
                    let b = columns[place]
                    target[index] = base[b < a ? b * sum.stride + a : a * sum.stride + b]
                }
            }
        }
    }

    /// Copies the elements to their places in the panel: [rows from the diagonal on, columns].
    public func put(_ values: UnsafeMutableBufferPointer<Double>, into panel: Matrix<Double>) {
        precondition(values.count == count && panel.rows == rows.count && panel.columns == columns.count, "a panel of [\(panel.rows), \(panel.columns)]")
        forEachRow(values) { row, places, source in
            let target = panel.row(row)
            for (index, place) in places.enumerated() { target[place] = source[index] }
        }
    }

    /// Visits each row with the panel's columns that it takes, and where their values are.
    private func forEachRow(
        _ values: UnsafeMutableBufferPointer<Double>, _ body: @Sendable (Int, UnsafeBufferPointer<Int>, UnsafeMutablePointer<Double>) -> Void
    ) {
        guard let base = values.baseAddress else { return }
        let place = Place(base: base)
        parallelFor(rows.count) { row in
            let count = starts[row + 1] - starts[row]
            guard count > 0 else { return }
            Self.taken(rows[row], hessianColumns, inside, upTo).withUnsafeBufferPointer {
                body(row, UnsafeBufferPointer(rebasing: $0[..<count]), place.base + starts[row])
            }
        }
    }

    private struct Place: @unchecked Sendable {
        let base: UnsafeMutablePointer<Double>
    }
}
