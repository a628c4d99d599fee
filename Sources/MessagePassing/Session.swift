// The lifetime of MPI in this process: started once, finalised in good order, or aborted for all ranks.

internal import COpenMPI
internal import Foundation

/// MPI between `MPI_Init_thread` and `MPI_Finalize`.
public enum Session {
    /// Starts MPI and returns the world; the environment of a launcher (mpirun, srun) decides its size.
    ///
    /// Threads may call MPI one at a time (`MPI_THREAD_SERIALIZED`).
    public static func start() throws(SessionError) -> Communicator {
        var provided: Int32 = 0
        guard MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided) == MPI_SUCCESS else { throw .cannotStart }
        guard provided >= Int32(MPI_THREAD_SERIALIZED) else { throw .noThreads }
        MPI_Comm_set_errhandler(COpenMPI_COMM_WORLD(), COpenMPI_ERRORS_RETURN())
        do {
            let world = try Communicator(COpenMPI_COMM_WORLD())
            try refuseSeparateJobs(size: world.size)
            return world
        } catch let error as MPIError {
            throw .failed(error)
        } catch let error as SessionError {
            throw error
        } catch {
            throw .cannotStart
        }
    }

    /// Finalises MPI; every rank must call it.
    public static func finish() {
        MPI_Finalize()
    }

    /// Ends the processes of all ranks with an exit code: the only way out for an error that the other ranks do not know of.
    public static func abort(code: Int32) -> Never {
        MPI_Abort(COpenMPI_COMM_WORLD(), code)
        exit(code)
    }

    /// The rank that the launcher gave this process, known before MPI starts; 0 without a launcher.
    public static var launcherRank: Int {
        let environment = ProcessInfo.processInfo.environment
        let names = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"]
        return names.lazy.compactMap { environment[$0].flatMap(Int.init) }.first ?? 0
    }

    /// This machine's name.
    public static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "unknown" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// srun without a working PMIx starts N jobs of one rank, which would all write the same output.
    private static func refuseSeparateJobs(size: Int) throws(SessionError) {
        let environment = ProcessInfo.processInfo.environment
        guard size == 1, environment["OMPI_COMM_WORLD_SIZE"] == nil, let tasks = environment["SLURM_STEP_NUM_TASKS"].flatMap(Int.init), tasks > 1
        else { return }
        throw .separateJobs(tasks: tasks)
    }
}

/// Why MPI could not be started.
public enum SessionError: Error, CustomStringConvertible {
    case cannotStart
    case noThreads
    case separateJobs(tasks: Int)
    case failed(MPIError)

    public var description: String {
        switch self {
        case .cannotStart: "MPI could not be started; run under mpirun or srun, or without a launcher for one rank"
        case .noThreads: "this MPI library offers no MPI_THREAD_SERIALIZED; use an MPI built with threads"
        case .separateJobs(let tasks):
            "Slurm started \(tasks) tasks, but MPI sees a world of one rank: the launcher and the MPI library do not speak to each other. "
                + "Use `srun --mpi=pmix` or mpirun"
        case .failed(let error): error.description
        }
    }
}
