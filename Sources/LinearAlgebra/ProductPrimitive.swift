// Products that oneDNN has generated code for, by shape.

internal import COneDNN
internal import Synchronization

/// Everything oneDNN specialises a product for.
struct ProductShape: Hashable {
    var m, n, k: Int
    var strideA: Int
    /// Nil: b is packed.
    var strideB: Int?
    var strideC: Int
    var transposeA, transposeB: Bool
    var resultType: UInt32
}

/// The products generated last, by shape: generating the code of one takes about a millisecond.
///
/// Each expert has its own number of tokens, and so shapes of its own: the code of all of them would outgrow what the plan counts for libraries.
public enum ProductCache {
    /// More than there are shapes in a block that every token passes, without those of the column loop.
    public static let usual = 192

    /// Bytes of the code of so many products, about.
    public static func byteCount(of shapes: Int) -> Int { shapes << 16 }

    /// Keeps the code of so many products from now on: of fewer than come again and again, all would be generated each time.
    public static func keep(_ most: Int) { state.withLock { $0.most = max(most, usual) } }

    private struct State {
        var most = usual
        var primitives: [ProductShape: (primitive: ProductPrimitive, lastUse: Int)] = [:]
        var uses = 0
    }

    private static let state = Mutex(State())

    static func primitive(_ shape: ProductShape) -> ProductPrimitive {
        state.withLock { state in
            state.uses += 1
            if let found = state.primitives[shape]?.primitive {
                state.primitives[shape]?.lastUse = state.uses
                return found
            }
            if state.primitives.count >= state.most, let oldest = state.primitives.min(by: { $0.value.lastUse < $1.value.lastUse }) {
                state.primitives[oldest.key] = nil
            }
            let made = ProductPrimitive(shape)
            state.primitives[shape] = (made, state.uses)
            return made
        }
    }
}

/// One generated product.
final class ProductPrimitive: Sendable {
    private let primitive: Primitive
    private let a, b, c: OperandLayout

    init(_ shape: ProductShape) {
        let (m, n, k) = (shape.m, shape.n, shape.k)
        a = OperandLayout(rows: m, columns: k, dnnl_bf16, stride: shape.strideA, transposed: shape.transposeA)
        b =
            shape.strideB.map { OperandLayout(rows: k, columns: n, dnnl_bf16, stride: $0, transposed: shape.transposeB) }
            ?? PackedLayouts.layout(rows: n, columns: k)
        c = OperandLayout(rows: m, columns: n, dnnl_data_type_t(rawValue: shape.resultType), stride: shape.strideC, transposed: false)
        primitive = Primitive(PrimitiveDescription(product: a, b, into: c))
    }

    func execute(_ dataA: UnsafeMutableRawPointer, _ dataB: UnsafeMutableRawPointer, _ dataC: UnsafeMutableRawPointer) {
        primitive.execute([(a, dataA, DNNL_ARG_SRC), (b, dataB, DNNL_ARG_WEIGHTS), (c, dataC, DNNL_ARG_DST)])
    }
}

extension OperandLayout {
    /// A matrix [rows, columns] whose rows, or when it is stored transposed whose columns, begin so many elements apart.
    fileprivate convenience init(rows: Int, columns: Int, _ type: dnnl_data_type_t, stride: Int, transposed: Bool) {
        self.init(rows: rows, columns: columns, type, rowStride: transposed ? 1 : stride, columnStride: transposed ? stride : 1)
    }
}
