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

/// The products already generated, by shape: generating the code of one takes about a millisecond.
enum ProductCache {
    private static let primitives = Mutex<[ProductShape: ProductPrimitive]>([:])

    static func primitive(_ shape: ProductShape) -> ProductPrimitive {
        primitives.withLock { cache in
            if let found = cache[shape] { return found }
            let made = ProductPrimitive(shape)
            cache[shape] = made
            return made
        }
    }
}

/// One generated product, which several threads may execute at once.
///
/// That holds because each execution brings its own scratchpad: the one that oneDNN would keep by itself belongs to the thread that made the
/// primitive (Debian builds it without DNNL_ENABLE_CONCURRENT_EXEC).
final class ProductPrimitive: @unchecked Sendable {
    private let primitive: OpaquePointer
    private var a = dnnl_memory_desc_t()
    private let b: dnnl_memory_desc_t
    private var c = dnnl_memory_desc_t()
    private let scratchpad: dnnl_memory_desc_t

    init(_ shape: ProductShape) {
        let (m, n, k) = (dnnl_dim_t(shape.m), dnnl_dim_t(shape.n), dnnl_dim_t(shape.k))
        let one: dnnl_dim_t = 1
        let stridesA = shape.transposeA ? [one, dnnl_dim_t(shape.strideA)] : [dnnl_dim_t(shape.strideA), one]
        check(dnnl_memory_desc_init_by_strides(&a, 2, [m, k], dnnl_bf16, stridesA), "operand a")
        var b = dnnl_memory_desc_t()
        if let stride = shape.strideB.map({ dnnl_dim_t($0) }) {
            check(dnnl_memory_desc_init_by_strides(&b, 2, [k, n], dnnl_bf16, shape.transposeB ? [one, stride] : [stride, one]), "operand b")
        } else {
            b = PackedLayouts.layout(rows: shape.n, columns: shape.k)
        }
        check(
            dnnl_memory_desc_init_by_strides(&c, 2, [m, n], dnnl_data_type_t(rawValue: shape.resultType), [dnnl_dim_t(shape.strideC), one]),
            "result")
        let description = ProductDescription(&a, &b, &c)
        scratchpad = description.operand(dnnl_query_scratchpad_md)
        self.b = b
        primitive = description.primitive()
    }

    deinit {
        dnnl_primitive_destroy(primitive)
    }

    func execute(_ dataA: UnsafeMutableRawPointer, _ dataB: UnsafeMutableRawPointer, _ dataC: UnsafeMutableRawPointer) {
        let size = withUnsafePointer(to: scratchpad) { dnnl_memory_desc_get_size($0) }
        ScratchPool.withScratch(byteCount: size) { scratch in
            OneDNN.execute(
                primitive,
                [(a, dataA, DNNL_ARG_SRC), (b, dataB, DNNL_ARG_WEIGHTS), (c, dataC, DNNL_ARG_DST), (scratchpad, scratch.base, DNNL_ARG_SCRATCHPAD)])
        }
    }
}

/// What oneDNN would do for a product.
struct ProductDescription: ~Copyable {
    private var description: dnnl_primitive_desc_t?

    init(_ a: inout dnnl_memory_desc_t, _ b: inout dnnl_memory_desc_t, _ c: inout dnnl_memory_desc_t) {
        // A primitive leaves out work when fewer threads execute it than it was made for.
        Threads.confineLibraries()
        var product = dnnl_matmul_desc_t()
        check(dnnl_matmul_desc_init(&product, &a, &b, nil, &c), "product description")
        var attributes: dnnl_primitive_attr_t?
        check(dnnl_primitive_attr_create(&attributes), "attributes")
        defer { dnnl_primitive_attr_destroy(attributes) }
        check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "scratchpad mode")
        check(dnnl_primitive_desc_create(&description, &product, attributes, OneDNN.engine, nil), "product")
    }

    deinit { dnnl_primitive_desc_destroy(description) }

    func operand(_ query: dnnl_query_t) -> dnnl_memory_desc_t { dnnl_primitive_desc_query_md(description, query, 0).pointee }

    func primitive() -> OpaquePointer {
        var created: dnnl_primitive_t?
        check(dnnl_primitive_create(&created, description), "product")
        return created!
    }
}
