// Launchers that this program does not speak: N jobs of one rank, each of which would write the same output.

import Foundation
import Testing

@Suite(.serialized) struct LauncherTests {
    private static let foreign = "/usr/bin/mpirun.mpich"

    @Test(arguments: [
        (["PMI_SIZE=2", "PMI_RANK=0"], "started 2 processes or more (PMI_SIZE)"),
        (["SLURM_STEP_NUM_TASKS=64", "SLURM_PROCID=0"], "started 64 processes or more (SLURM_STEP_NUM_TASKS)"),
    ])
    func separateJobsAreRefused(environment: [String], message: String) throws {
        let directory = try TemporaryDirectory()
        let run = try CleaveProcess.run(SmallRun.arguments(directory.path + "/out"), environment: environment)
        #expect(run.exitCode == 78)
        #expect(run.errors.contains(message) && run.errors.contains("built with Open MPI"), "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/out"))
    }

    /// The others are silent: all would say the same.
    @Test func onlyTheFirstSaysIt() throws {
        let run = try CleaveProcess.run(["plan", "Configs/demo.yaml"], environment: ["PMI_SIZE=2", "PMI_RANK=1"])
        #expect(run.exitCode == 78 && run.errors.isEmpty && run.output.isEmpty)
    }

    @Test func aBatchScriptMayRunOneRank() throws {
        let run = try CleaveProcess.run(["plan", "Configs/demo.yaml"], environment: ["SLURM_JOB_ID=7", "SLURM_NTASKS=64", "SLURM_PROCID=0"])
        #expect(run.exitCode == 0, "\(run.errors)")
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: foreign), "needs MPICH's mpirun beside Open MPI"))
    func anotherLibrarysLauncherIsNamed() throws {
        let directory = try TemporaryDirectory()
        let command = [Self.foreign, "-n", "2", CleaveProcess.binary] + SmallRun.arguments(directory.path + "/out")
        let run = try CleaveProcess.run(command: command)
        #expect(run.exitCode == 78)
        #expect(run.errors.components(separatedBy: "MPI sees a world of one").count == 2, "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/out"))
    }
}
