// What launchers say in the environment, and the refusal of one run started several times.

import MessagePassing
import Testing

@Suite struct LauncherTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var environment: [String: String]
        var rank = 0
        /// nil: a world of one process is right.
        var refused: Int?
        var testDescription: String { "\(environment)" }
    }

    @Test(arguments: [
        Case(environment: [:]),
        Case(environment: ["OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"]),
        Case(environment: ["OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"], rank: 3, refused: 4),
        Case(environment: ["PMI_SIZE": "2", "PMI_RANK": "1"], rank: 1, refused: 2),
        Case(environment: ["SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"], rank: 5, refused: 8),
        // A batch script that runs one process, and one rank by mpirun on a step of two daemons.
        Case(environment: ["SLURM_NTASKS": "8", "SLURM_PROCID": "0"]),
        Case(environment: ["SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"]),
        Case(environment: ["PMIX_RANK": "0"]),
        Case(environment: ["PMIX_RANK": "6"], rank: 6, refused: 7),
        Case(environment: ["PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"], refused: 3),
        Case(environment: ["OMPI_COMM_WORLD_SIZE": "many"]),
    ])
    func severalProcessesAreNoWorldOfOne(_ example: Case) {
        let launcher = Launcher(environment: example.environment)
        #expect(launcher.rank == example.rank)
        for library in ["Open MPI", "MPICH"] {
            guard let refused = example.refused else {
                #expect(throws: Never.self) { try launcher.check(worldSize: 1, library: library) }
                continue
            }
            let error = #expect(throws: SessionError.self) { try launcher.check(worldSize: 1, library: library) }
            #expect(error?.exitCode == 78)
            #expect(error?.description.contains("started \(refused) processes or more") == true)
            #expect(error?.description.contains("built with \(library)") == true)
        }
        #expect(throws: Never.self) { try launcher.check(worldSize: 2, library: "MPICH") }
    }

    @Test(arguments: [
        (["OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "prterun-host-1@1"], ["Open MPI", "MPICH"], false),
        // One process needs no others.
        (["OMPI_COMM_WORLD_SIZE": "1", "PMIX_NAMESPACE": "prterun-host-1@1"], [], false),
        (["PMI_SIZE": "2", "PMI_RANK": "0"], ["MPICH"], false),
        (["PMI_SIZE": "2", "PMI_RANK": "0", "PMI_FD": "7"], ["Open MPI", "MPICH"], false),
        (["SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1", "PMIX_NAMESPACE": "slurm.pmix.7.0"], ["Open MPI", "MPICH"], false),
        (["SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1"], [], true),
        (["SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"], [], true),
        ([:], [], false),
    ])
    func mpiStartsWhereALauncherConnectsProcesses(environment: [String: String], libraries: [String], isPlainStep: Bool) {
        let launcher = Launcher(environment: environment)
        for library in ["Open MPI", "MPICH"] {
            #expect(launcher.connects(to: library) == libraries.contains(library))
            #expect(launcher.isPlainStep(for: library) == isPlainStep)
        }
    }

    /// Two packages of two cores, whose processors are numbered in turn and whose hardware threads come last.
    @Test func processorsAreGroupedByCore() {
        let cores = Cores.grouped(Array(0..<8)) { ($0 % 2, "\($0 % 4)") }
        #expect(cores == [[0, 4], [2, 6], [1, 5], [3, 7]])
        #expect(Cores.grouped([5, 6]) { ($0 % 2, "\($0 % 4)") } == [[6], [5]])
    }
}
