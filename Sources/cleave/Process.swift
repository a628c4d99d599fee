// What the command asks of its process.

import Foundation
import Glibc

/// The number of threads that the launcher asks for.
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
