// Conversion of whole matrices between fp32 and the 16-bit formats.

internal import CKernels

/// Rounds `source` to bfloat16 into `destination`, of the same shape.
public func convert(_ source: Matrix<Float>, into destination: Matrix<BFloat16>) {
    forEachRun(source, destination) { from, to, count in
        to.withMemoryRebound(to: UInt16.self, capacity: count) { cleave_f32_to_bf16(from, $0, count) }
    }
}

/// Widens `source` into `destination`, of the same shape.
public func convert(_ source: Matrix<BFloat16>, into destination: Matrix<Float>) {
    forEachRun(source, destination) { from, to, count in
        from.withMemoryRebound(to: UInt16.self, capacity: count) { cleave_bf16_to_f32($0, to, count) }
    }
}

/// Conversion of runs of numbers as they lie in checkpoint files.
public enum Numbers {
    public static func widen(bfloat16 source: UnsafePointer<UInt16>, into destination: UnsafeMutablePointer<Float>, count: Int) {
        cleave_bf16_to_f32(source, destination, count)
    }

    public static func widen(float16 source: UnsafePointer<UInt16>, into destination: UnsafeMutablePointer<Float>, count: Int) {
        cleave_f16_to_f32(source, destination, count)
    }

    public static func narrow(_ source: UnsafePointer<Float>, intoBFloat16 destination: UnsafeMutablePointer<UInt16>, count: Int) {
        cleave_f32_to_bf16(source, destination, count)
    }

    public static func narrow(_ source: UnsafePointer<Float>, intoFloat16 destination: UnsafeMutablePointer<UInt16>, count: Int) {
        cleave_f32_to_f16(source, destination, count)
    }
}

/// Calls `body` once for two contiguous matrices, else once a row.
private func forEachRun<A, B>(
    _ source: Matrix<A>, _ destination: Matrix<B>, _ body: (UnsafeMutablePointer<A>, UnsafeMutablePointer<B>, Int) -> Void
) {
    precondition(
        source.rows == destination.rows && source.columns == destination.columns,
        "\(source.rows) x \(source.columns) into \(destination.rows) x \(destination.columns)")
    if source.isContiguous && destination.isContiguous {
        body(source.base, destination.base, source.count)
    } else {
        for row in 0..<source.rows { body(source.row(row), destination.row(row), source.columns) }
    }
}
