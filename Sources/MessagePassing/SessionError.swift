// Why MPI could not be started, and what to do.

/// Why MPI could not be started.
public enum SessionError: Error, CustomStringConvertible {
    case cannotStart
    case noThreads
    case separateJobs(tasks: Int, source: String, library: String)
    case setting(name: String, value: String)
    case failed(MPIError)

    public var description: String {
        switch self {
        case .cannotStart: "MPI could not be started; run under mpirun or srun, or without a launcher for one rank"
        case .noThreads: "this MPI library offers no MPI_THREAD_SERIALIZED; use an MPI built with threads"
        case .separateJobs(let tasks, let source, let library):
            "the launcher started \(tasks) processes or more (\(source)), but MPI sees a world of one: launcher and MPI library do not speak to each other, and "
                + "\(tasks) runs would write the same output. This program was built with \(library): use its own mpirun, or "
                + (library == "MPICH" ? "`srun --mpi=pmi2`" : "`srun --mpi=pmix`")
                + " (`srun --mpi=list` says what Slurm speaks); to run one rank inside a job, use `mpirun -n 1`"
        case .setting(let name, let value): "the environment's \(name) must be a whole number of at least 1, found `\(value)`"
        case .failed(let error): error.description
        }
    }

    /// As in sysexits.h: 78 (configuration) for what another way of launching mends, 71 for what the system cannot do.
    public var exitCode: Int32 {
        switch self {
        case .separateJobs, .noThreads, .setting: 78
        case .cannotStart, .failed: 71
        }
    }
}
