// Products that oneDNN has generated code for, by shape.

internal import COneDNN
internal import Synchronization

/// Everything oneDNN specialises a product for.
struct ProductShape: Hashable {
    var m, n, k: Int
    var strideA, strideB, strideC: Int
    var transposeA, transposeB: Bool
    var resultType: UInt32
    /// A primitive leaves out work when it is executed by fewer threads than it was made for.
    var threads: Int
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
    nonisolated(unsafe) private static let engine: OpaquePointer = {
        var engine: dnnl_engine_t?
        check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine")
        return engine!
    }()

    private let primitive: OpaquePointer
    private var a = dnnl_memory_desc_t()
    private var b = dnnl_memory_desc_t()
    private var c = dnnl_memory_desc_t()
    private let scratchpad: dnnl_memory_desc_t

    init(_ shape: ProductShape) {
        let (m, n, k) = (dnnl_dim_t(shape.m), dnnl_dim_t(shape.n), dnnl_dim_t(shape.k))
        let one: dnnl_dim_t = 1
        let stridesA = shape.transposeA ? [one, dnnl_dim_t(shape.strideA)] : [dnnl_dim_t(shape.strideA), one]
        let stridesB = shape.transposeB ? [one, dnnl_dim_t(shape.strideB)] : [dnnl_dim_t(shape.strideB), one]
        check(dnnl_memory_desc_init_by_strides(&a, 2, [m, k], dnnl_bf16, stridesA), "operand a")
        check(dnnl_memory_desc_init_by_strides(&b, 2, [k, n], dnnl_bf16, stridesB), "operand b")
        check(
            dnnl_memory_desc_init_by_strides(&c, 2, [m, n], dnnl_data_type_t(rawValue: shape.resultType), [dnnl_dim_t(shape.strideC), one]),
            "result")
        var description = dnnl_matmul_desc_t()
        check(dnnl_matmul_desc_init(&description, &a, &b, nil, &c), "product description")
        var attributes: dnnl_primitive_attr_t?
        check(dnnl_primitive_attr_create(&attributes), "attributes")
        defer { dnnl_primitive_attr_destroy(attributes) }
        check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "scratchpad mode")
        var primitiveDescription: dnnl_primitive_desc_t?
        check(dnnl_primitive_desc_create(&primitiveDescription, &description, attributes, Self.engine, nil), "product of shape \(shape)")
        defer { dnnl_primitive_desc_destroy(primitiveDescription) }
        scratchpad = dnnl_primitive_desc_query_md(primitiveDescription, dnnl_query_scratchpad_md, 0).pointee
        var created: dnnl_primitive_t?
        check(dnnl_primitive_create(&created, primitiveDescription), "product of shape \(shape)")
        primitive = created!
    }

    deinit {
        dnnl_primitive_destroy(primitive)
    }

    func execute(_ dataA: UnsafeMutableRawPointer, _ dataB: UnsafeMutableRawPointer, _ dataC: UnsafeMutableRawPointer) {
        let size = withUnsafePointer(to: scratchpad) { dnnl_memory_desc_get_size($0) }
        ScratchPool.withScratch(byteCount: size) { execute(dataA, dataB, dataC, scratch: $0) }
    }

    private func execute(
        _ dataA: UnsafeMutableRawPointer, _ dataB: UnsafeMutableRawPointer, _ dataC: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
    ) {
        var stream: dnnl_stream_t?
        check(dnnl_stream_create(&stream, Self.engine, dnnl_stream_default_flags.rawValue), "stream")
        defer { dnnl_stream_destroy(stream) }
        let operands = [
            (a, dataA, DNNL_ARG_SRC), (b, dataB, DNNL_ARG_WEIGHTS), (c, dataC, DNNL_ARG_DST), (scratchpad, scratch, DNNL_ARG_SCRATCHPAD),
        ]
        var arguments: [dnnl_exec_arg_t] = []
        defer { for argument in arguments { dnnl_memory_destroy(argument.memory) } }
        for (description, data, role) in operands {
            var memory: dnnl_memory_t?
            check(withUnsafePointer(to: description) { dnnl_memory_create(&memory, $0, Self.engine, data) }, "memory")
            arguments.append(dnnl_exec_arg_t(arg: role, memory: memory))
        }
        check(dnnl_primitive_execute(primitive, stream, Int32(arguments.count), &arguments), "execution")
        check(dnnl_stream_wait(stream), "execution")
    }
}

/// oneDNN refuses only what it cannot generate or allocate; neither can be mended by a caller.
private func check(_ status: dnnl_status_t, _ what: @autoclosure () -> String) {
    guard status == dnnl_success else { fatalError("oneDNN status \(status.rawValue): \(what())") }
}
