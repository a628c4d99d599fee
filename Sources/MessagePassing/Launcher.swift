// What the launcher that started this process says in its environment, known before MPI starts.

internal import Foundation

/// The variables by which launchers tell a process its rank and how many there are.
public struct Launcher: Sendable, Equatable {
    /// 0 without a launcher.
    public let rank: Int
    /// Processes that were started together; nil where nothing says so.
    public let size: Int?
    /// The variable that says it.
    public let source: String?
    /// How many ranks count as a node at most, as the environment says it; nil where it does not.
    private let nodeSize: String?

    /// A launcher inside another (mpirun in a Slurm job) comes first: the outer one counts something else, such as daemons. A Slurm job's number of
    /// tasks says nothing, since a batch script may well run a command once; that of a step, which srun starts, does.
    private static let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"]
    private static let ranks = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"]

    private static let nodeSizeName = "CLEAVE_RANKS_PER_NODE"

    /// By what a launcher connects its processes. Open MPI's and `srun --mpi=pmix` speak PMIx, which Open MPI understands, and MPICH where it was built so;
    /// MPICH's and `srun --mpi=pmi2` speak PMI, which MPICH understands, and Open MPI 4 where it was built for Slurm's.
    private static let connections = ["Open MPI": ["PMIX_NAMESPACE", "PMI_FD"], "MPICH": ["PMI_FD", "PMI_PORT", "PMI_RANK", "PMIX_NAMESPACE"]]
    private let speaks: Set<String>

    public static let current = Launcher(environment: ProcessInfo.processInfo.environment)

    public init(environment: [String: String]) {
        func first(_ names: [String]) -> (name: String, value: Int)? {
            names.lazy.compactMap { name in environment[name].flatMap(Int.init).map { (name, $0) } }.first
        }
        let (rank, size) = (first(Self.ranks), first(Self.sizes))
        self.rank = rank?.value ?? 0
        nodeSize = environment[Self.nodeSizeName]
        speaks = Set(Self.connections.filter { $0.value.contains { environment[$0] != nil } }.keys)
        // PMIx names no size; a rank above 0 is not alone.
        if size == nil, let rank, rank.name == "PMIX_RANK", rank.value > 0 {
            (self.size, source) = (rank.value + 1, rank.name)
        } else {
            (self.size, source) = (size?.value, size?.name)
        }
    }

    /// The most ranks that count as a node, so that one machine can stand for several (CLEAVE_RANKS_PER_NODE); nil: all that share memory.
    package func ranksOfNode() throws(SessionError) -> Int? {
        guard let nodeSize else { return nil }
        guard let ranks = Int(nodeSize), ranks > 0 else { throw .setting(name: Self.nodeSizeName, value: nodeSize) }
        return ranks
    }

    /// Whether MPI has other processes to find: they were started together, by a launcher that speaks to this library.
    public func connects(to library: String) -> Bool { size != 1 && speaks.contains(library) }

    /// Whether the processes are tasks of a Slurm step that no launcher of MPI connects. Each is alone, so the first can do what needs no other.
    public func isPlainStep(for library: String) -> Bool { source == "SLURM_STEP_NUM_TASKS" && !speaks.contains(library) }

    /// Refuses a world of one process where several were started: as many jobs, each of which takes itself for the whole, would write the same output.
    ///
    /// - Parameters:
    ///   - worldSize: what MPI says.
    ///   - library: the name of the MPI library that this program was built with.
    public func check(worldSize: Int, library: String) throws(SessionError) {
        guard worldSize == 1, let size, size > 1, let source else { return }
        throw .separateJobs(tasks: size, source: source, library: library)
    }
}
