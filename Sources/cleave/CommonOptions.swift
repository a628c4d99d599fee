// Options that every verb has.

import ArgumentParser
import LinearAlgebra

struct CommonOptions: ParsableArguments {
    @Option(help: "Threads of each rank (default: OMP_NUM_THREADS; else all cores for a single rank, 1 otherwise).")
    var threads: Int?

    @Flag(help: "Print one JSON value on standard output instead of text.")
    var json = false

    func validate() throws {
        if let threads, !(1...Threads.most).contains(threads) { throw ValidationError("--threads must be from 1 to \(Threads.most), found \(threads)") }
    }
}
