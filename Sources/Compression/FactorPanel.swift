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
        let blocks = columns.cut(every: ColumnLoop.blockColumns), count = sums.count
        let norms = parallelMap(blocks.count) { index in
            let block = blocks[index], before = 0..<block.upperBound
            let product = Matrix<Float>(uninitialized: block.count, x.columns)
            multiply(self.block(before, block), x.rows(before), transposeA: true, into: product)
            return (0..<block.count).reduce(into: [Double](repeating: 0, count: count)) { norms, j in
                let values = product.row(j)
                for row in norms.indices { norms[row] += Double(values[row]) * Double(values[row]) }
            }
        }
        for block in norms { for row in sums.indices { sums[row] += block[row] } }
    }
}
