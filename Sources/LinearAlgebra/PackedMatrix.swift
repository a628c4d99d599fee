// A bf16 matrix in the order in which the products' code reads its right operand.

internal import COneDNN

/// W: [rows, columns] for products x W^T. A product with a plain matrix packs it each time; packed once, it serves many.
///
/// Packing moves elements and changes none, wherever they come from. A product may round in another order than one with the plain matrix, so that plan or
/// data must decide which of the two is computed.
public struct PackedMatrix: Sendable {
    public let rows: Int
    public let columns: Int
    fileprivate let content: Content

    fileprivate enum Content {
        /// In oneDNN's order.
        case packed(AlignedMemory)
        /// Row by row, where oneDNN has no code for bf16.
        case plain(Matrix<BFloat16>)
    }

    /// Precondition: neither extent is 0.
    public init(_ matrix: Matrix<BFloat16>) {
        (rows, columns) = (matrix.rows, matrix.columns)
        content =
            BFloat16.isAccelerated
            ? .packed(Self.pack(matrix.base, rows: rows, columns: columns, rowStride: matrix.stride, columnStride: 1)) : .plain(matrix.copy())
    }

    /// W = matrix^T, for products x matrix. Precondition: neither extent is 0.
    init(transposing matrix: Matrix<BFloat16>) {
        (rows, columns) = (matrix.columns, matrix.rows)
        content =
            BFloat16.isAccelerated
            ? .packed(Self.pack(matrix.base, rows: rows, columns: columns, rowStride: 1, columnStride: matrix.stride)) : .plain(matrix.transposed())
    }

    private static func pack(
        _ elements: UnsafeMutablePointer<BFloat16>, rows: Int, columns: Int, rowStride: Int, columnStride: Int
    ) -> AlignedMemory {
        precondition(rows > 0 && columns > 0, "packing a matrix of [\(rows), \(columns)]")
        let memory = AlignedMemory(byteCount: PackedLayouts.layout(rows: rows, columns: columns).byteCount)
        PackedLayouts.packing(rows: rows, columns: columns, rowStride: rowStride, columnStride: columnStride).execute(elements, memory.base)
        return memory
    }
}

/// c = a b^T with an fp32 result.
public func multiply(_ a: Matrix<BFloat16>, transposed b: PackedMatrix, into c: Matrix<Float>) {
    precondition(
        a.columns == b.columns && c.rows == a.rows && c.columns == b.rows,
        "product [\(a.rows), \(a.columns)] packed [\(b.columns), \(b.rows)] into [\(c.rows), \(c.columns)]")
    guard a.rows > 0 else { return }
    switch b.content {
    case .plain(let matrix): multiplyWidened(a, matrix, false, true, c)
    case .packed(let memory):
        guard min(a.rows, b.rows, a.columns) > 1 || a.hasNoGaps && c.hasNoGaps else {
            return c.assigningVectors { multiply(a.copy(), b, memory, $0) }
        }
        multiply(a, b, memory, c)
    }
}

private func multiply(_ a: Matrix<BFloat16>, _ b: PackedMatrix, _ packed: AlignedMemory, _ c: Matrix<Float>) {
    let shape = ProductShape(
        m: a.rows, n: b.rows, k: a.columns, strideA: a.stride, strideB: nil, strideC: c.stride, transposeA: false, transposeB: true,
        resultType: dnnl_f32.rawValue)
    ProductCache.primitive(shape).execute(a.base, packed.base, c.base)
}
