// Describing what oneDNN shall generate, and running what it has generated.

internal import COneDNN

/// Code that oneDNN has generated, which several threads may execute at once.
///
/// That holds because each execution brings its own scratchpad: the one that oneDNN would keep by itself belongs to the thread that made the
/// primitive (Debian builds it without DNNL_ENABLE_CONCURRENT_EXEC).
final class Primitive: @unchecked Sendable {
    private let handle: OpaquePointer
    private let scratchpad: OperandLayout

    init(_ description: borrowing PrimitiveDescription) {
        handle = description.primitive()
        scratchpad = description.layout(of: dnnl_query_scratchpad_md)
    }

    deinit { dnnl_primitive_destroy(handle) }

    /// Runs the code on the calling thread and waits for it.
    func execute(_ operands: [(layout: OperandLayout, data: UnsafeMutableRawPointer, role: Int32)]) {
        ScratchPool.withScratch(byteCount: scratchpad.byteCount) { scratch in
            execute(withScratchpad: operands + [(scratchpad, scratch.base, DNNL_ARG_SCRATCHPAD)])
        }
    }

    private func execute(withScratchpad operands: [(layout: OperandLayout, data: UnsafeMutableRawPointer, role: Int32)]) {
        Threads.confineLibraries()
        var stream: dnnl_stream_t?
        check(dnnl_stream_create(&stream, OneDNN.engine, dnnl_stream_default_flags.rawValue), "stream")
        defer { dnnl_stream_destroy(stream) }
        var arguments: [dnnl_exec_arg_t] = []
        defer { for argument in arguments { dnnl_memory_destroy(argument.memory) } }
        for operand in operands {
            arguments.append(dnnl_exec_arg_t(arg: operand.role, memory: operand.layout.memory(at: operand.data)))
        }
        check(dnnl_primitive_execute(handle, stream, Int32(arguments.count), &arguments), "execution")
        check(dnnl_stream_wait(stream), "execution")
    }
}

/// What oneDNN would generate.
struct PrimitiveDescription: ~Copyable {
    private var handle: dnnl_primitive_desc_t?

    /// c = a b
    init(product a: OperandLayout, _ b: OperandLayout, into c: OperandLayout) {
        self.init("product") { COneDNN_describe_product(&$0, OneDNN.engine, a.handle, b.handle, c.handle, $1) }
    }

    /// The elements of one layout in another of the same extents.
    init(copy source: OperandLayout, into target: OperandLayout) {
        self.init("packing") { COneDNN_describe_reordering(&$0, OneDNN.engine, source.handle, target.handle, $1) }
    }

    private init(_ what: String, _ describe: (inout dnnl_primitive_desc_t?, dnnl_primitive_attr_t?) -> dnnl_status_t) {
        // A primitive leaves out work when fewer threads execute it than it was made for.
        Threads.confineLibraries()
        var attributes: dnnl_primitive_attr_t?
        check(dnnl_primitive_attr_create(&attributes), "attributes")
        defer { dnnl_primitive_attr_destroy(attributes) }
        check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "scratchpad mode")
        check(describe(&handle, attributes), what)
    }

    deinit { dnnl_primitive_desc_destroy(handle) }

    /// The layout that oneDNN has chosen for an operand.
    func layout(of operand: dnnl_query_t) -> OperandLayout {
        var layout: OpaquePointer?
        check(COneDNN_layout_in(&layout, handle, operand), "layout")
        return OperandLayout(layout!)
    }

    fileprivate func primitive() -> OpaquePointer {
        var created: dnnl_primitive_t?
        check(dnnl_primitive_create(&created, handle), "generating code")
        return created!
    }
}
