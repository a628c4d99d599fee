// Launchers that this program does not speak: N jobs of one rank, each of which would write the same output. And none at all: one process alone.

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

    /// A step that `srun` starts without PMIx, where Open MPI cannot start.
    private static let step = ["SLURM_JOB_ID=7", "SLURM_JOBID=7", "SLURM_STEP_ID=0", "SLURM_STEPID=0", "SLURM_LOCALID=0", "SLURM_NODELIST=n1"]

    /// What one process can do works anywhere; in a step of several tasks the first does it, and the others have nothing to say.
    @Test(arguments: [
        [], step + ["SLURM_NTASKS=1", "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0"], step + ["SLURM_NTASKS=1", "SLURM_PROCID=0"],
        step + ["SLURM_NTASKS=4", "SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=0"], step + ["SLURM_NTASKS=4", "SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=3"],
    ])
    func whatOneProcessCanDoWorksAnywhere(environment: [String]) throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let settings = ["compress.method=rtn", "compress.grid=minmax", "calibration=null", "evaluation=null"].flatMap { ["--set", $0] }
        try #require(try CleaveProcess.run(["compress", "Configs/demo.yaml", "--output", output] + settings).exitCode == 0)
        let isFirst = !environment.contains("SLURM_PROCID=3")
        for (arguments, said) in [
            (["inspect", "Demo/wikillama"], "Demo/wikillama: dense"), (["plan", "Configs/demo.yaml"], "256 tiles"), (["verify", output], "is sound"),
            (["tokenize", "Demo/wikillama", "Demo/evaluation.txt", "--output", directory.path + "/ids.npy"], "tokens in"),
        ] {
            let run = try CleaveProcess.run(arguments, environment: environment)
            #expect(run.exitCode == 0, "\(arguments): \(run.exitCode) \(run.errors)")
            #expect(isFirst ? run.output.contains(said) : run.output.isEmpty, "\(arguments): \(run.output)")
        }
        #expect(FileManager.default.fileExists(atPath: directory.path + "/ids.npy") == isFirst)
    }

    /// One process alone compresses in a step of one task, and leaves nothing in the temporary directory, failing or not.
    @Test func oneProcessLeavesNoFiles() throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: directory.path + "/tmp", withIntermediateDirectories: false)
        let environment = Self.step + ["SLURM_NTASKS=1", "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0", "TMPDIR=\(directory.path)/tmp"]
        #expect(try CleaveProcess.run(SmallRun.arguments(directory.path + "/out"), environment: environment).exitCode == 0)
        #expect(try CleaveProcess.run(["compress", "no-such.yaml"], environment: environment).exitCode == 66)
        #expect(try CleaveProcess.run(["compress", "Configs/demo.yaml", "--model", "no-such"], environment: environment).exitCode == 66)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path + "/tmp").isEmpty)
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
