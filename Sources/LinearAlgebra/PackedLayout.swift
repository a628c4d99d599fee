// How oneDNN wants the right operand of a product to lie in memory.

internal import COneDNN
internal import Synchronization

/// How packed matrices lie in memory, by their shape.
enum PackedLayouts {
    private struct Shape: Hashable {
        var rows, columns: Int
    }

    /// Rows of the left operand that the layout is asked for; oneDNN chooses the same for any number.
    private static let leftRows: dnnl_dim_t = 1024
    private static let layouts = Mutex<[Shape: dnnl_memory_desc_t]>([:])

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
}
