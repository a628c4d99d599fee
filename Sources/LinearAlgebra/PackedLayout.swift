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

    /// Rows of the left operand that the layout is asked for; oneDNN chooses the same for any number.
    private static let leftRows: dnnl_dim_t = 1024
    private static let layouts = Mutex<[Shape: dnnl_memory_desc_t]>([:])
    private static let packings = Mutex<[Source: PackingPrimitive]>([:])

    /// The layout of W for x W^T, W: [rows, columns].
    static func layout(rows: Int, columns: Int) -> dnnl_memory_desc_t {
        layouts.withLock { known in
            if let found = known[Shape(rows: rows, columns: columns)] { return found }
            let (n, k) = (dnnl_dim_t(rows), dnnl_dim_t(columns))
            var (a, b, c) = (dnnl_memory_desc_t(), dnnl_memory_desc_t(), dnnl_memory_desc_t())
            check(dnnl_memory_desc_init_by_strides(&a, 2, [leftRows, k], dnnl_bf16, [k, 1]), "operand a")
            check(dnnl_memory_desc_init_by_tag(&b, 2, [k, n], dnnl_bf16, dnnl_format_tag_any), "operand b")
            check(dnnl_memory_desc_init_by_strides(&c, 2, [leftRows, n], dnnl_f32, [n, 1]), "result")
            let layout = ProductDescription(&a, &b, &c).operand(dnnl_query_weights_md)
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
            var plain = dnnl_memory_desc_t()
            let strides = [dnnl_dim_t(columnStride), dnnl_dim_t(rowStride)]
            check(dnnl_memory_desc_init_by_strides(&plain, 2, [dnnl_dim_t(columns), dnnl_dim_t(rows)], dnnl_bf16, strides), "matrix to pack")
            let made = PackingPrimitive(plain, layout)
            known[source] = made
            return made
        }
    }
}

/// Generated code that copies elements from one layout into another of the same shape. Several threads may execute it at once: it needs no scratchpad.
final class PackingPrimitive: @unchecked Sendable {
    private let primitive: OpaquePointer
    private let source, target: dnnl_memory_desc_t

    init(_ source: dnnl_memory_desc_t, _ target: dnnl_memory_desc_t) {
        Threads.confineLibraries()
        (self.source, self.target) = (source, target)
        var (from, to) = (source, target)
        var description: dnnl_primitive_desc_t?
        check(dnnl_reorder_primitive_desc_create(&description, &from, OneDNN.engine, &to, OneDNN.engine, nil), "packing")
        defer { dnnl_primitive_desc_destroy(description) }
        var created: dnnl_primitive_t?
        check(dnnl_primitive_create(&created, description), "packing")
        primitive = created!
    }

    deinit { dnnl_primitive_destroy(primitive) }

    func execute(_ plain: UnsafeMutableRawPointer, _ packed: UnsafeMutableRawPointer) {
        OneDNN.execute(primitive, [(source, plain, DNNL_ARG_FROM), (target, packed, DNNL_ARG_TO)])
    }
}
