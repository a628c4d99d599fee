// Some columns of R, which is all that the column loop needs of it at a time.

public import LinearAlgebra

/// The columns of R from a first to a last one, down to the diagonal; zeros below it.
public struct FactorPanel: @unchecked Sendable {
    public let columns: Range<Int>
    /// R_ij for j in `columns`: [columns.upperBound, columns.count]
    public let values: Matrix<Float>
    /// The same in bf16 and more, for products with errors in bf16; nil where these are in fp32.
    let narrowed: NarrowedColumns?

    init(columns: Range<Int>, values: Matrix<Float>, narrowed: NarrowedColumns?) {
        precondition(values.rows == columns.upperBound && values.columns == columns.count, "[\(values.rows), \(values.columns)] for columns \(columns)")
        self.columns = columns
        self.values = values
        self.narrowed = narrowed
    }

    /// - Parameters:
    ///   - isNarrowed: whether it serves products in bf16.
    ///   - size: columns of R.
    public init(columns: Range<Int>, values: Matrix<Float>, isNarrowed: Bool, of size: Int) {
        self.init(columns: columns, values: values, narrowed: isNarrowed ? NarrowedColumns(columns, values, of: size) : nil)
    }

    /// A window on R; `columns` must be among the panel's.
    func block(_ rows: Range<Int>, _ columns: Range<Int>) -> Matrix<Float> {
        values.rows(rows).columns(columns.lowerBound - self.columns.lowerBound..<columns.upperBound - self.columns.lowerBound)
    }

    /// Adds ||x R_J||^2 of each row of x, given transposed and in the order of quantization: [columns of R, lanes].
    func addSquaredNorms(_ x: Matrix<Float>, to sums: inout [Double]) {
        addSquaredNorms(lanes: x.columns, to: &sums) { before, block, product in
            multiply(self.block(before, block), x.rows(before), transposeA: true, into: product)
        }
    }

    /// The same in bf16 where R is narrowed: good to a thousandth, for a figure that is only reported.
    func addEnergies(_ x: Matrix<Float>, to sums: inout [Double]) {
        guard let narrowed else { return addSquaredNorms(x, to: &sums) }
        let rounded = Matrix<BFloat16>(uninitialized: columns.upperBound, x.columns)
        convert(x.rows(0..<columns.upperBound), into: rounded)
        addSquaredNorms(lanes: x.columns, to: &sums) { narrowed.gather(rounded, $0, for: $1, into: $2) }
    }

    /// - Parameter multiply: makes x R of some columns, over the rows of R before their end: [columns, lanes]
    private func addSquaredNorms(lanes: Int, to sums: inout [Double], _ multiply: @Sendable (Range<Int>, Range<Int>, Matrix<Float>) -> Void) {
        let blocks = columns.cut(every: ColumnRanges.blockColumns), count = sums.count
        let norms = parallelMap(blocks.count) { index in
            let block = blocks[index]
            let product = Matrix<Float>(uninitialized: block.count, lanes)
            multiply(0..<block.upperBound, block, product)
            return (0..<block.count).reduce(into: [Double](repeating: 0, count: count)) { norms, j in
                let values = product.row(j)
                for row in norms.indices { norms[row] += Double(values[row]) * Double(values[row]) }
            }
        }
        for block in norms { for row in sums.indices { sums[row] += block[row] } }
    }
}
