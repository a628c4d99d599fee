// oneDNN's engine, and running what it has generated.

internal import COneDNN

/// oneDNN on this CPU.
enum OneDNN {
    nonisolated(unsafe) static let engine: OpaquePointer = {
        var engine: dnnl_engine_t?
        check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine")
        return engine!
    }()

    /// Runs a primitive on the calling thread and waits for it.
    static func execute(_ primitive: OpaquePointer, _ operands: [(dnnl_memory_desc_t, UnsafeMutableRawPointer, Int32)]) {
        Threads.confineLibraries()
        var stream: dnnl_stream_t?
        check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue), "stream")
        defer { dnnl_stream_destroy(stream) }
        var arguments: [dnnl_exec_arg_t] = []
        defer { for argument in arguments { dnnl_memory_destroy(argument.memory) } }
        for (description, data, role) in operands {
            var memory: dnnl_memory_t?
            check(withUnsafePointer(to: description) { dnnl_memory_create(&memory, $0, engine, data) }, "memory")
            arguments.append(dnnl_exec_arg_t(arg: role, memory: memory))
        }
        check(dnnl_primitive_execute(primitive, stream, Int32(arguments.count), &arguments), "execution")
        check(dnnl_stream_wait(stream), "execution")
    }
}

/// oneDNN refuses only what it cannot generate or allocate; neither can be mended by a caller.
func check(_ status: dnnl_status_t, _ what: @autoclosure () -> String) {
    guard status == dnnl_success else { fatalError("oneDNN status \(status.rawValue): \(what())") }
}
