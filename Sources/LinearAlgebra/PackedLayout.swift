// How oneDNN wants the right operand of a product to lie in memory.

internal import COneDNN
internal import Synchronization

/// How packed matrices lie in memory, by their shape, and the code that packs them.
enum PackedLayouts {
    private struct Shape: Hashable {
        var rows, columns: Int
    }

    private struct Source: Hashable {
        var shape: Shape
        var rowStride, columnStride: Int
    }

    /// Rows of the left operand that the layout is asked for: a product of any number of rows reads the layout that is best for so many.
    private static let leftRows = 1024
    private static let layouts = Mutex<[Shape: OperandLayout]>([:])
    private static let packings = Mutex<[Source: PackingPrimitive]>([:])

    /// The layout of W for x W^T, W: [rows, columns].
    static func layout(rows: Int, columns: Int) -> OperandLayout {
        layouts.withLock { known in
            if let found = known[Shape(rows: rows, columns: columns)] { return found }
            let a = OperandLayout(rows: leftRows, columns: columns, dnnl_bf16, rowStride: columns, columnStride: 1)
            let b = OperandLayout(ofAnyOrder: columns, rows, dnnl_bf16)
            let c = OperandLayout(rows: leftRows, columns: rows, dnnl_f32, rowStride: rows, columnStride: 1)
            let layout = PrimitiveDescription(product: a, b, into: c).layout(of: dnnl_query_weights_md)
            known[Shape(rows: rows, columns: columns)] = layout
            return layout
        }
    }

    /// Packs W: [rows, columns], elements of whose rows and columns lie so many elements apart.
    static func packing(rows: Int, columns: Int, rowStride: Int, columnStride: Int) -> PackingPrimitive {
        let layout = layout(rows: rows, columns: columns)
        return packings.withLock { known in
            let source = Source(shape: Shape(rows: rows, columns: columns), rowStride: rowStride, columnStride: columnStride)
            if let found = known[source] { return found }
            // The product reads W transposed: [columns, rows].
            let plain = OperandLayout(rows: columns, columns: rows, dnnl_bf16, rowStride: columnStride, columnStride: rowStride)
            let made = PackingPrimitive(plain, layout)
            known[source] = made
            return made
        }
    }
}

/// Generated code that copies elements from one layout into another of the same shape.
final class PackingPrimitive: Sendable {
    private let primitive: Primitive
    private let source, target: OperandLayout

    init(_ source: OperandLayout, _ target: OperandLayout) {
        (self.source, self.target) = (source, target)
        primitive = Primitive(PrimitiveDescription(copy: source, into: target))
    }

    func execute(_ plain: UnsafeMutableRawPointer, _ packed: UnsafeMutableRawPointer) {
        primitive.execute([(source, plain, DNNL_ARG_FROM), (target, packed, DNNL_ARG_TO)])
    }
}
