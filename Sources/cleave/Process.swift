// What the command asks of its process: cores, environment, the end.

import Foundation
import Glibc

/// Cores that this process may run on: its affinity mask, which launchers set.
func availableCores() -> Int {
    var mask = cpu_set_t()
    guard sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &mask) == 0 else { return 1 }
    return max(1, withUnsafeBytes(of: &mask) { $0.reduce(0) { $0 + $1.nonzeroBitCount } })
}

func environmentThreads() -> Int? {
    ProcessInfo.processInfo.environment["OMP_NUM_THREADS"].flatMap(Int.init).flatMap { $0 > 0 ? $0 : nil }
}

func quit(_ code: Int32) -> Never {
    exit(code)
}

/// A value as one line of JSON with sorted keys.
func jsonLine(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}
