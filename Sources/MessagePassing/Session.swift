// The lifetime of MPI in this process: started once, finalised in good order, or aborted for all ranks.

internal import CMPI
internal import Foundation

/// MPI between `MPI_Init_thread` and `MPI_Finalize`.
public enum Session {
    /// Starts MPI and returns the world; the environment of a launcher (mpirun, srun) decides its size. A process that is alone does without MPI, which
    /// would leave files behind when it ends with an error, and which inside a Slurm step without PMIx ends the process.
    ///
    /// Threads may call MPI one at a time (`MPI_THREAD_SERIALIZED`).
    public static func start() throws(SessionError) -> Communicator {
        // MPI itself changes the environment.
        let launcher = Launcher.current
        guard launcher.connects(to: libraryName) else {
            try launcher.check(worldSize: 1, library: libraryName)
            return .alone()
        }
        var provided: Int32 = 0
        guard MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided) == MPI_SUCCESS else { throw .cannotStart }
        guard provided >= Int32(MPI_THREAD_SERIALIZED) else { throw .noThreads }
        MPI_Comm_set_errhandler(CMPI_COMM_WORLD(), CMPI_ERRORS_RETURN())
        do {
            let world = try Communicator(CMPI_COMM_WORLD(), node: node(ranks: try launcher.ranksOfNode()))
            try launcher.check(worldSize: world.size, library: libraryName)
            return world
        } catch let error as MPIError {
            throw .failed(error)
        } catch let error as SessionError {
            throw error
        } catch {
            throw .cannotStart
        }
    }

    /// The world of work that every process can do by itself, where no launcher connects it to others: outside of MPI, or as the first task of a Slurm step.
    ///
    /// - Returns: nil in the other tasks of such a step, which have nothing to do.
    public static func startAnywhere() throws(SessionError) -> Communicator? {
        guard Launcher.current.isPlainStep(for: libraryName) else { return try start() }
        return Launcher.current.rank == 0 ? .alone() : nil
    }

    /// The node of this process, as a number: that of its first rank in the world. Collective.
    ///
    /// - Parameter most: ranks that count as a node, though more may share memory; nil: all that do.
    private static func node(ranks most: Int?) throws(MPIError) -> Int {
        var (code, place, rank) = (Int32(0), Int32(0), Int32(0))
        let sharing: MPI_Comm = CMPI_split_by_node(CMPI_COMM_WORLD(), &code)
        try check("MPI_Comm_split_type", code)
        try check("MPI_Comm_rank", MPI_Comm_rank(sharing, &place))
        try check("MPI_Comm_rank", MPI_Comm_rank(CMPI_COMM_WORLD(), &rank))
        let node: MPI_Comm = CMPI_split(sharing, most.map { place / Int32(clamping: $0) } ?? 0, &code)
        try check("MPI_Comm_split", code)
        var first = Int(rank)
        try check("MPI_Bcast", MPI_Bcast(&first, 1, Int.datatype.handle, 0, node))
        try check("MPI_Comm_free", CMPI_free(node))
        try check("MPI_Comm_free", CMPI_free(sharing))
        return first
    }

    /// Finalises MPI; every rank must call it.
    public static func finish() {
        if isStarted { MPI_Finalize() }
    }

    /// Ends the processes of all ranks with an exit code: the only way out for an error that the other ranks do not know of.
    public static func abort(code: Int32) -> Never {
        if isStarted { MPI_Abort(CMPI_COMM_WORLD(), code) }
        exit(code)
    }

    /// Whether MPI runs in this process.
    static var isStarted: Bool {
        var (initialized, finalized) = (Int32(0), Int32(0))
        MPI_Initialized(&initialized)
        MPI_Finalized(&finalized)
        return initialized != 0 && finalized == 0
    }

    /// The MPI library that this program was built with: "Open MPI" or "MPICH".
    private static var libraryName: String { String(cString: CMPI_library()) }

    /// The MPI library that was loaded, by its own account: "Open MPI v4.1.4". Needs no session.
    public static var library: String {
        var (buffer, length) = ([CChar](repeating: 0, count: Int(MPI_MAX_LIBRARY_VERSION_STRING)), Int32(0))
        guard MPI_Get_library_version(&buffer, &length) == MPI_SUCCESS else { return libraryName }
        let text = String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // What follows a comma or the first line is of its packaging.
        return text.prefix { $0 != "," && $0 != "\n" }.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    /// This machine's name.
    public static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "unknown" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
