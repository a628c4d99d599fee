// Starts the program once more where OpenBLAS took slow code for want of knowing the processor.

import Foundation
import Glibc
import LinearAlgebra

/// Replaces this process, before it has done anything, by itself with `OPENBLAS_CORETYPE` set. OpenBLAS reads that variable when it is loaded, which is before
/// `main`, so setting it here would be too late. Returns where there is nothing to mend, and where the system refuses: the slow code is right, too.
func startAgainForOpenBLAS() {
    guard let code = OpenBLASCode.missed else { return }
    // By its own path, since `top` and `ps` call a process after the file that was executed.
    guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return }
    setenv(OpenBLASCode.variable, code, /* overwrite */ 1)
    execv(program, CommandLine.unsafeArgv)
}
