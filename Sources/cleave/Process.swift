// What the command asks of its process.

import Foundation
import Glibc
import LinearAlgebra
import Reporting

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
            "a file that was mapped into memory could not be read: it was made shorter while in use, or its disk failed (`--weights pread` names the file)"
        say(text)
        FailureLog.say(text, exitCode: EX_IOERR)
        _exit(EX_IOERR)
    }
}

/// Says a literal from a signal's handler, as a line of its own: in one call, since what comes in several may have another rank's words between.
private func say(_ text: StaticString) {
    func part(_ text: StaticString) -> iovec { iovec(iov_base: UnsafeMutableRawPointer(mutating: text.utf8Start), iov_len: text.utf8CodeUnitCount) }
    var line = (part("cleave: "), part(text), part("\n"))
    withUnsafePointer(to: &line) { line in
        _ = line.withMemoryRebound(to: iovec.self, capacity: 3) { writev(STDERR_FILENO, $0, 3) }
    }
}

/// What is done about a signal by itself, or by MPI.
nonisolated(unsafe) private let actionsBefore = UnsafeMutablePointer<sigaction>.allocate(capacity: 64)

/// Has crashes written down in the log of the run, before what they lead to otherwise.
func explainCrashes() {
    // With a limit of the address space its own handler knows more.
    guard !AddressSpace.explainsCrashes({ FailureLog.say(UnsafeBufferPointer(start: $0, count: $1), exitCode: $2) }) else { return }
    for number in [SIGSEGV, SIGILL, SIGTRAP, SIGABRT, SIGFPE] {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { number in
            FailureLog.say(
                "the process crashed: an error of Cleave or of a library (its exit code is 128 and the number of the signal); please report it",
                exitCode: 128 + number)
            // What was to come of the signal comes; a backtrace of Swift's goes on after that, where nothing in the program is at fault.
            var own = sigset_t()
            sigemptyset(&own)
            sigaddset(&own, number)
            pthread_sigmask(SIG_UNBLOCK, &own, nil)
            sigaction(number, actionsBefore + Int(number), nil)
            raise(number)
            signal(number, SIG_DFL)
            raise(number)
        }
        sigaction(number, &action, actionsBefore + Int(number))
    }
}

/// A value as one line of JSON with sorted keys.
func jsonLine(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}
