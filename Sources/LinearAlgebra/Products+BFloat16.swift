// Matrix products of bf16 operands with fp32 accumulation, through oneDNN.

internal import COneDNN
internal import Synchronization

extension BFloat16 {
    /// Whether this CPU multiplies bf16 in hardware (AVX-512 BF16 or AMX); elsewhere fp32 is at least as fast.
    public static let isAccelerated: Bool = {
        let needed = dnnl_cpu_isa_avx512_core_bf16.rawValue
        return dnnl_get_effective_cpu_isa().rawValue & needed == needed
    }()
}

/// c = op(a) op(b) with bf16 operands and an fp32 result, where op transposes when asked.
public func multiply(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<Float>
) {
    multiplyBFloat16(a, b, transposeA, transposeB, c, resultType: dnnl_f32)
}

/// c = op(a) op(b), accumulated in fp32 and rounded once to bf16.
public func multiply(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<BFloat16>
) {
    multiplyBFloat16(a, b, transposeA, transposeB, c, resultType: dnnl_bf16)
}

private func multiplyBFloat16<C>(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, _ transposeA: Bool, _ transposeB: Bool, _ c: Matrix<C>, resultType: dnnl_data_type_t
) {
    let (m, n, k) = productShape(a, b, transposeA, transposeB, c)
    guard m > 0, n > 0 else { return }
    let shape = ProductShape(
        m: m, n: n, k: k, strideA: a.stride, strideB: b.stride, strideC: c.stride, transposeA: transposeA, transposeB: transposeB,
        resultType: resultType.rawValue, threads: Threads.ofThisThread)
    ProductCache.primitive(shape).execute(a.base, b.base, c.base)
}

/// Everything oneDNN specialises a product for.
private struct ProductShape: Hashable {
    var m, n, k: Int
    var strideA, strideB, strideC: Int
    var transposeA, transposeB: Bool
    var resultType: UInt32
    /// A primitive leaves out work when it is executed by fewer threads than it was made for.
    var threads: Int
}

/// The products already generated, by shape: generating the code of one takes about a millisecond.
private enum ProductCache {
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

/// One generated product. oneDNN's primitives may be executed by several threads at once; memory objects are made for each call.
private final class ProductPrimitive: @unchecked Sendable {
    nonisolated(unsafe) private static let engine: OpaquePointer = {
        var engine: dnnl_engine_t?
        check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine")
        return engine!
    }()

    private let primitive: OpaquePointer
    private var a = dnnl_memory_desc_t()
    private var b = dnnl_memory_desc_t()
    private var c = dnnl_memory_desc_t()

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
        var primitiveDescription: dnnl_primitive_desc_t?
        check(dnnl_primitive_desc_create(&primitiveDescription, &description, nil, Self.engine, nil), "product of shape \(shape)")
        defer { dnnl_primitive_desc_destroy(primitiveDescription) }
        var created: dnnl_primitive_t?
        check(dnnl_primitive_create(&created, primitiveDescription), "product of shape \(shape)")
        primitive = created!
    }

    deinit {
        dnnl_primitive_destroy(primitive)
    }

    func execute(_ dataA: UnsafeMutableRawPointer, _ dataB: UnsafeMutableRawPointer, _ dataC: UnsafeMutableRawPointer) {
        var stream: dnnl_stream_t?
        check(dnnl_stream_create(&stream, Self.engine, dnnl_stream_default_flags.rawValue), "stream")
        defer { dnnl_stream_destroy(stream) }
        let operands = [(a, dataA, DNNL_ARG_SRC), (b, dataB, DNNL_ARG_WEIGHTS), (c, dataC, DNNL_ARG_DST)]
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
