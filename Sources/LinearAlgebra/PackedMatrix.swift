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
        self.init(matrix.base, rows: matrix.rows, columns: matrix.columns, rowStride: matrix.stride, columnStride: 1)
    }

    /// W = matrix^T, for products x matrix. Precondition: neither extent is 0.
    init(transposing matrix: Matrix<BFloat16>) {
        self.init(matrix.base, rows: matrix.columns, columns: matrix.rows, rowStride: 1, columnStride: matrix.stride)
    }

    private init(_ elements: UnsafeMutablePointer<BFloat16>, rows: Int, columns: Int, rowStride: Int, columnStride: Int) {
        precondition(rows > 0 && columns > 0, "packing a matrix of [\(rows), \(columns)]")
        (self.rows, self.columns) = (rows, columns)
        let layout = PackedLayouts.layout(rows: rows, columns: columns)
        memory = AlignedMemory(byteCount: withUnsafePointer(to: layout) { dnnl_memory_desc_get_size($0) })
        PackedLayouts.packing(rows: rows, columns: columns, rowStride: rowStride, columnStride: columnStride).execute(elements, memory.base)
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
