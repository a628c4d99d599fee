// oneDNN's engine, and what becomes of its refusals.

internal import COneDNN

/// oneDNN on this CPU.
enum OneDNN {
    nonisolated(unsafe) static let engine: OpaquePointer = {
        // What it has generated is kept here, by those that know what they need again; else it would keep a thousand of them besides.
        check(dnnl_set_primitive_cache_capacity(0), "capacity")
        var engine: dnnl_engine_t?
        check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine")
        return engine!
    }()
}

/// oneDNN refuses only what it cannot generate or allocate; neither can be mended by a caller.
func check(_ status: dnnl_status_t, _ what: @autoclosure () -> String) {
    guard status == dnnl_success else { fatalError("oneDNN status \(status.rawValue): \(what())") }
}
