// What run_mpi.sh says and how it exits: wrong usage, what mpirun refuses, a killed rank; and which cores ranks get.

import Foundation
import Testing

@Suite(.serialized) struct RunScriptTests {
    @Test(arguments: [
        (["--ranks", "0", "--", "plan"], "--ranks must be a whole number of at least 1, found '0'"),
        (["--retries", "x", "--", "plan"], "--retries must be a whole number of at least 0, found 'x'"),
        (["--host-timeout", "5", "--", "plan"], "--host-timeout must be a whole number of at least 6, found '5'"),
        (["--hostfile", "no-such-file", "--", "plan"], "cannot read the hostfile no-such-file"),
        (["--launcher", "ssh", "--", "plan"], "--launcher must be srun or mpirun, found 'ssh'"),
        (["--bind", "socket", "--", "plan"], "--bind must be auto, core or none, found 'socket'"),
        (["--rank", "2"], "unknown option --rank"),
        (["--ranks"], "--ranks needs a value"),
    ])
    func usageErrorsAreSaid(arguments: [String], message: String) throws {
        let run = try CleaveProcess.run(command: ["./run_mpi.sh"] + arguments)
        #expect(run.exitCode == 64)
        #expect(run.errors.contains(message), "\(run.errors)")
    }

    /// The command, where ranks are bound, and cleave's own line; no word of mpirun's.
    @Test func anErrorOfTheUserIsSaidOnceAndNotRetried() throws {
        let run = try CleaveProcess.run(command: ["./run_mpi.sh", "--retries", "3", "--", "compress", "no-such.yaml"])
        #expect(run.exitCode == 66)
        let lines = run.errors.split(separator: "\n").filter { !$0.hasPrefix("+ mpirun") && !$0.contains("bound to") }
        #expect(lines == ["cleave: cannot read the recipe no-such.yaml"] || lines.count == 1 && lines[0].contains("no-such.yaml"), "\(run.errors)")
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var name: String
        var hostfile: String?
        var ranks = 2
        var environment: [String] = []
        var exitCode: Int32
        var message: String
        var testDescription: String { name }
    }

    /// What another launch cannot mend is said in one line, and not tried again.
    @Test(arguments: [
        Refusal(name: "too few slots", hostfile: "localhost slots=1", ranks: 3, exitCode: 64, message: "fewer slots than the 3 ranks"),
        Refusal(name: "a count in words", hostfile: "localhost slots=two", exitCode: 64, message: "line 1: `slots=two` is no whole number"),
        Refusal(name: "no host", hostfile: "# none", exitCode: 64, message: "names no host"),
        Refusal(name: "what mpirun does not understand", hostfile: "localhost %%%", exitCode: 64, message: "does not understand the hostfile"),
        Refusal(name: "no program", environment: ["CLEAVE_BINARY=/no/such"], exitCode: 69, message: "cannot run /no/such: the file is missing"),
        Refusal(
            name: "no program on a host", hostfile: "localhost slots=2", environment: ["CLEAVE_BINARY=/no/such"], exitCode: 69,
            message: "cannot run /no/such on "),
        Refusal(name: "no program that can be run", environment: ["CLEAVE_BINARY=/etc/passwd"], exitCode: 69, message: "cannot be executed"),
        Refusal(name: "an option of mpirun", environment: ["MPIRUN_FLAGS=--no-such-flag"], exitCode: 64, message: "--no-such-flag"),
    ])
    func whatCannotWorkIsSaidAndNotRetried(_ refusal: Refusal) throws {
        let directory = try TemporaryDirectory()
        var options = ["--ranks", "\(refusal.ranks)", "--retries", "2"]
        if let hostfile = refusal.hostfile {
            try Data((hostfile + "\n").utf8).write(to: URL(fileURLWithPath: directory.path + "/hosts"))
            options += ["--hostfile", directory.path + "/hosts"]
        }
        let run = try CleaveProcess.run(command: refusal.environment + ["./run_mpi.sh"] + options + ["--", "compress", "no-such.yaml"])
        #expect(run.exitCode == refusal.exitCode, "\(run.errors)")
        #expect((run.errors + run.output).contains(refusal.message) && !run.errors.contains("retry"), "\(run.errors)")
    }

    /// Editors of other systems write a mark and end lines with a carriage return too; versions of mpirun differ in hosts that are listed several times.
    @Test(arguments: ["\u{FEFF}# hosts\r\nlocalhost slots=3\r\n", "localhost\nlocalhost\nlocalhost\n", "localhost slots=1\nlocalhost slots = 2\n"])
    func hostfilesAreReadAlike(text: String) throws {
        let directory = try TemporaryDirectory()
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory.path + "/hosts"))
        let run = { (ranks: Int) in
            try CleaveProcess.run(
                command: ["./run_mpi.sh", "--ranks", "\(ranks)", "--hostfile", directory.path + "/hosts", "--", "verify", "no-such-directory"])
        }
        let (fits, exceeds) = (try run(3), try run(4))
        #expect(fits.exitCode == 66 && fits.errors.contains("no-such-directory"), "\(fits.errors)")
        #expect(exceeds.exitCode == 64 && exceeds.errors.contains("fewer slots than the 4 ranks"), "\(exceeds.errors)")
    }

    /// A stand-in for `stat` says on which file system a folder lies.
    @Test(arguments: [("lustre", "ext2/ext3", true), ("nfs", "tmpfs", true), ("xfs", "ext2/ext3", false), ("lustre", "lustre", false)])
    func filesOfTheLauncherStayOnTheHost(temporary: String, local: String, isMoved: Bool) throws {
        let directory = try TemporaryDirectory()
        let program = directory.path + "/stat"
        try Data("#!/bin/sh\nfor last; do :; done\n[ \"$last\" = /tmp ] && echo \(local) || echo \(temporary)\n".utf8).write(to: URL(fileURLWithPath: program))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let run = try CleaveProcess.run(
            command: ["PATH=\(directory.path):\(path)", "TMPDIR=\(directory.path)", "./run_mpi.sh", "--", "verify", "no-such-directory"])
        #expect(run.exitCode == 66, "\(run.errors)")
        #expect(run.errors.contains("te_tmpdir_base /tmp") == isMoved, "\(run.errors)")
    }

    @Test func aKilledRankIsNamed() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            start --ranks 2 -- \(Disturbance.compress(into: directory.path + "/out"))
            await_message '^block 2/'
            kill -KILL "$(ranks | tail -n 1)"
            finish
            exit $code
            """, in: directory)
        #expect(run.exitCode == 137)
        let said = run.errors.split(separator: "\n").filter { $0.hasPrefix("run_mpi.sh:") }
        #expect(said.count == 1 && said[0].contains("was ended by signal 9 (SIGKILL)") && said[0].contains("memory ran out"), "\(run.errors)")
        #expect(!run.errors.contains("-----"), "\(run.errors)")
    }

    @Test func aKilledRankIsMendedByARetry() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            start --ranks 2 --retries 1 -- \(Disturbance.compress(into: directory.path + "/out"))
            await_message '^block 2/'
            kill -KILL "$(ranks | tail -n 1)"
            finish
            exit $code
            """, in: directory)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("exit code 137; retry 1 of 1"), "\(run.errors)")
        #expect(run.errors.contains("resuming:"))
        #expect(try SmallRun.files(directory.path + "/out") == Disturbance.reference.get())
    }

    @Test func aWishToStopReachesTheRanksAndIsNotRetried() throws {
        let directory = try TemporaryDirectory()
        for retries in [0, 1] {
            let run = try Disturbance.run(
                """
                start --ranks 2 --retries \(retries) -- \(Disturbance.compress(into: directory.path + "/\(retries)"))
                await_message '^block 2/'
                kill -USR1 $job
                finish
                exit $code
                """, in: directory)
            #expect(run.exitCode == 75)
            #expect(run.errors.contains("stopped in good order"), "\(run.errors)")
            #expect(!run.errors.contains("retry"))
        }
    }

    /// Two runs of one rank on a host of several cores: neither has only the core that the other has.
    @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1, "needs two cores"))
    func ranksAreBoundOnlyWhereTheCoresAreTheirs() throws {
        let directory = try TemporaryDirectory()
        let cores = ProcessInfo.processInfo.activeProcessorCount
        let script = { (options: String) in
            """
            start \(options) -- \(Disturbance.compress(into: directory.path + "/out"))
            await_message '^block 1/'
            for rank in $(ranks); do taskset --cpu-list --pid "$rank" | sed 's/.*: //'; done
            kill $job
            finish
            """
        }
        let alone = try Disturbance.run(script("--ranks 1"), in: directory)
        #expect(alone.output != "0\n" && alone.errors.contains("ranks are not bound to cores"), "\(alone.output) \(alone.errors)")
        let whole = try Disturbance.run(script("--ranks \(cores)"), in: directory)
        if whole.errors.contains("each rank is bound to 1 core of its own") {
            #expect(Set(whole.output.split(separator: "\n")).count == cores, "\(whole.output)")
        } else {
            // Hardware threads of one core are no cores.
            #expect(whole.errors.contains("ranks are not bound to cores"), "\(whole.errors)")
        }
        let asked = try Disturbance.run(script("--ranks 1 --bind core"), in: directory)
        #expect(asked.errors.contains("each rank is bound to 1 core of its own"), "\(asked.errors)")
    }
}
