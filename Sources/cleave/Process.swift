// What the command asks of its process.

import Foundation
import Glibc
import LinearAlgebra

/// The number of threads that the launcher asks for.
func environmentThreads() -> Int? {
    ProcessInfo.processInfo.environment["OMP_NUM_THREADS"].flatMap(Int.init).flatMap { (1...Threads.most).contains($0) ? $0 : nil }
}

func quit(_ code: Int32) -> Never {
    exit(code)
}

/// Turns the signal for a mapped file that has become shorter, or whose disk fails, into words and an exit code.
func explainMappingFailures() {
    signal(SIGBUS) { _ in
        // A handler may call no more than the system: a literal has its bytes in the program.
        let text: StaticString =
            "cleave: a file that was mapped into memory could not be read: it was made shorter while in use, or its disk failed (`--weights pread` names the file)\n"
        _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
        _exit(EX_IOERR)
    }
}

/// A value as one line of JSON with sorted keys.
func jsonLine(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}
