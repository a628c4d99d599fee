// How an operand of oneDNN's lies in memory.

internal import COneDNN

/// Extents, type of elements, and strides in elements or an order of oneDNN's own; it does not change.
final class OperandLayout: @unchecked Sendable {
    let handle: OpaquePointer

    /// Takes over a handle.
    init(_ handle: OpaquePointer) { self.handle = handle }

    /// A matrix [rows, columns], elements of whose rows and columns lie so many elements apart.
    convenience init(rows: Int, columns: Int, _ type: dnnl_data_type_t, rowStride: Int, columnStride: Int) {
        var made: OpaquePointer?
        let (extents, strides) = ([dnnl_dim_t(rows), dnnl_dim_t(columns)], [dnnl_dim_t(rowStride), dnnl_dim_t(columnStride)])
        check(COneDNN_layout_strided(&made, 2, extents, type, strides), "layout of [\(rows), \(columns)]")
        self.init(made!)
    }

    /// A matrix [rows, columns] in the order that a product finds best.
    convenience init(ofAnyOrder rows: Int, _ columns: Int, _ type: dnnl_data_type_t) {
        var made: OpaquePointer?
        check(COneDNN_layout_of_any_order(&made, 2, [dnnl_dim_t(rows), dnnl_dim_t(columns)], type), "layout of [\(rows), \(columns)]")
        self.init(made!)
    }

    deinit { COneDNN_layout_destroy(handle) }

    var byteCount: Int { COneDNN_layout_size(handle) }

    /// An operand of this layout, to be destroyed by the caller.
    func memory(at data: UnsafeMutableRawPointer) -> OpaquePointer {
        var memory: dnnl_memory_t?
        check(COneDNN_memory_create(&memory, handle, OneDNN.engine, data), "memory")
        return memory!
    }
}
