// What a panel of the matrix to be factored takes from some columns of the Hessian.

public import LinearAlgebra

/// The elements of a panel, on and below its diagonal, that lie in some columns of the Hessian's upper triangle.
///
/// Order scatters the columns of a Hessian over the panels of the matrix. A Hessian that is summed a few columns at a time reaches its panels by these
/// parts: each is a run of values in an order that follows from the plan alone, so that the runs of several ranks can be added.
///
/// The values come row by row of the Hessian and from left to right, so that its memory is read in order: first the rows of the panel's own columns,
/// of which the panel takes all columns that it has a row for, then the rows of later columns, of which it takes its own columns.
public struct PanelPart: Sendable {
    private let hessianColumns: Range<Int>
    /// Columns of the panel.
    private let width: Int
    /// The Hessian's column of each of the panel's rows; those of its columns come first.
    private let rows: [Int]
    /// What the Hessian's rows hold for the panel: all columns that it has a row for, and its own.
    private let all: Ascending
    private let own: Ascending
    /// What is taken of each row, of `all` for a column of the panel and of `own` for others.
    private let taken: [Range<Int>]
    /// Where the values of each of the panel's rows begin, and the end.
    public let starts: [Int]

    /// Columns of the Hessian from left to right, and their rows in the panel.
    private struct Ascending: Sendable {
        var columns: [Int] = []
        var rows: [Int] = []

        /// Those that lie in a range of the Hessian's columns.
        func indices(in range: Range<Int>) -> Range<Int> { first(from: range.lowerBound)..<first(from: range.upperBound) }

        private func first(from column: Int) -> Int {
            var (low, high) = (0, columns.count)
            while low < high {
                let middle = (low + high) / 2
                if columns[middle] < column { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    /// - Parameters:
    ///   - panel: columns of the matrix.
    ///   - hessianColumns: columns of the Hessian.
    public init(_ plan: FactorPlan, panel: Range<Int>, hessianColumns: Range<Int>) {
        let rows = (panel.lowerBound..<plan.columns).map(plan.column)
        var rowOfColumn = [Int?](repeating: nil, count: plan.columns)
        for (row, column) in rows.enumerated() { rowOfColumn[column] = row }
        var (all, own) = (Ascending(), Ascending())
        for (column, row) in rowOfColumn.enumerated() {
            guard let row else { continue }
            all.columns.append(column)
            all.rows.append(row)
            guard row < panel.count else { continue }
            own.columns.append(column)
            own.rows.append(row)
        }
        taken = rows.enumerated().map { row, column in
            let right = max(column, hessianColumns.lowerBound)..<max(column, hessianColumns.upperBound)
            return (row < panel.count ? all : own).indices(in: right)
        }
        starts = taken.reduce(into: [0]) { $0.append($0.last! + $1.count) }
        (self.hessianColumns, width, self.rows, self.all, self.own) = (hessianColumns, panel.count, rows, all, own)
    }

    /// The number of elements.
    public var count: Int { starts.last ?? 0 }

    /// Copies the elements of some rows of the panel out of a Hessian's columns.
    /// - Parameters:
    ///   - sums: those of `hessianColumns` from left to right, each from the first row on.
    ///   - values: those of the rows alone.
    ///   - adding: whether they are added to the values that are there.
    public func take(_ rows: Range<Int>, from sums: [GramSum.Panel], into values: UnsafeMutablePointer<Double>, adding: Bool = false) {
        precondition(sums.reduce(0) { $0 + $1.columns.count } == hessianColumns.count, "sums of other columns than \(hessianColumns)")
        let place = Place(base: values - starts[rows.lowerBound])
        parallelFor(rows.count) { number in
            let row = rows.lowerBound + number
            var (index, target) = (taken[row].lowerBound, place.base + starts[row])
            (row < width ? all : own).columns.withUnsafeBufferPointer { columns in
                for sum in sums where index < taken[row].upperBound && columns[index] < sum.columns.upperBound {
                    let source = sum.values.row(self.rows[row]) - sum.columns.lowerBound
                    while index < taken[row].upperBound, columns[index] < sum.columns.upperBound {
                        target.pointee = adding ? target.pointee + source[columns[index]] : source[columns[index]]
                        (index, target) = (index + 1, target + 1)
                    }
                }
            }
        }
    }

    /// Copies the elements of some of its rows to their places in the panel: [rows from the diagonal on, columns].
    /// - Parameter values: those of the rows alone.
    public func put(_ rows: Range<Int>, _ values: UnsafeMutablePointer<Double>, into panel: Matrix<Double>) {
        precondition(panel.rows == self.rows.count && panel.columns == width, "a panel of [\(panel.rows), \(panel.columns)]")
        let place = Place(base: values - starts[rows.lowerBound])
        // A cache line of a row of the panel is written at once.
        let together = rows.clamped(to: 0..<width).cut(every: 8)
        parallelFor(together.count) { putColumns(together[$0], place, into: panel) }
        let below = rows.clamped(to: width..<self.rows.count)
        parallelFor(below.count) { index in
            let row = below.lowerBound + index
            guard !taken[row].isEmpty else { return }
            let (source, target) = (place.base + starts[row], panel.row(row))
            own.rows[taken[row]].withUnsafeBufferPointer { columns in
                for (index, column) in columns.enumerated() { target[column] = source[index] }
            }
        }
    }

    /// Puts what was taken of the rows of the Hessian that belong to some of the panel's columns.
    private func putColumns(_ columns: Range<Int>, _ values: Place, into panel: Matrix<Double>) {
        let sources = columns.filter { !taken[$0].isEmpty }.map { column in
            (column: column, taken: taken[column], values: values.base + starts[column] - taken[column].lowerBound)
        }
        guard let first = sources.map(\.taken.lowerBound).min(), let last = sources.map(\.taken.upperBound).max() else { return }
        all.rows.withUnsafeBufferPointer { others in
            for index in first..<last {
                let other = others[index]
                for source in sources where source.taken.contains(index) {
                    panel.base[max(source.column, other) * panel.stride + min(source.column, other)] = source.values[index]
                }
            }
        }
    }

    private struct Place: @unchecked Sendable {
        let base: UnsafeMutablePointer<Double>
    }
}
