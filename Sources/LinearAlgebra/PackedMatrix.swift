// A bf16 matrix in the order in which the products' code reads its right operand.

internal import COneDNN

/// W: [rows, columns] for products x W^T. A product with a plain matrix packs it each time; packed once, it serves many.
///
/// The products have the same bits as those with the plain matrix: only the place of each element differs.
public struct PackedMatrix: Sendable {
    public let rows: Int
    public let columns: Int
    private let memory: AlignedMemory

    fileprivate var base: UnsafeMutableRawPointer { memory.base }

    /// Precondition: neither extent is 0.
    public init(_ matrix: Matrix<BFloat16>) {
        precondition(matrix.count > 0, "packing a matrix of [\(matrix.rows), \(matrix.columns)]")
        (rows, columns) = (matrix.rows, matrix.columns)
        let layout = PackedLayouts.layout(rows: rows, columns: columns)
        memory = AlignedMemory(byteCount: withUnsafePointer(to: layout) { dnnl_memory_desc_get_size($0) })
        // The product reads W transposed: [columns, rows].
        var plain = dnnl_memory_desc_t()
        let strides: [dnnl_dim_t] = [1, dnnl_dim_t(matrix.stride)]
        check(dnnl_memory_desc_init_by_strides(&plain, 2, [dnnl_dim_t(columns), dnnl_dim_t(rows)], dnnl_bf16, strides), "matrix to pack")
        OneDNN.reorder(plain, UnsafeMutableRawPointer(matrix.base), layout, memory.base)
    }
}

/// c = a b^T with an fp32 result.
public func multiply(_ a: Matrix<BFloat16>, transposed b: PackedMatrix, into c: Matrix<Float>) {
    precondition(
        a.columns == b.columns && c.rows == a.rows && c.columns == b.rows,
        "product [\(a.rows), \(a.columns)] packed [\(b.columns), \(b.rows)] into [\(c.rows), \(c.columns)]")
    guard a.rows > 0 else { return }
    let shape = ProductShape(
        m: a.rows, n: b.rows, k: a.columns, strideA: a.stride, strideB: nil, strideC: c.stride, transposeA: false, transposeB: true,
        resultType: dnnl_f32.rawValue)
    ProductCache.primitive(shape).execute(a.base, b.base, c.base)
}
