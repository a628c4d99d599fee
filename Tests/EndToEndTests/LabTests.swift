// run_mpi.sh when something is lost: a rank, a host, the time. Hosts are those of Cluster/lab.sh.

import Foundation
import Testing

/// A compression that lasts a few seconds, so that there is time to disturb it.
private let compression =
    ["compress", "Configs/demo.yaml"]
    + ["calibration.sequences=64", "calibration.length=128", "compute=f32", "evaluation=null", "max_shard_size=2MB"].flatMap { ["--set", $0] }

private func compress(into output: String) -> String { (compression + ["--output", output]).joined(separator: " ") }

/// Runs a script whose lines may use `start ARGUMENTS` (run_mpi.sh in the background, its messages in a file) and `await_message PATTERN`.
private func disturb(_ script: String, in directory: TemporaryDirectory, hosts: Int? = nil) throws -> CleaveRun {
    let prelude = """
        set -uo pipefail
        messages=\(directory.path)/messages
        start() { : >"$messages"; ./run_mpi.sh "$@" >/dev/null 2>"$messages" & job=$!; }
        await_message() { until grep -q "$1" "$messages" || ! kill -0 "$job"; do sleep 0.05; done; }
        finish() { wait "$job"; code=$?; cat "$messages" >&2; }

        """
    let shell = ["bash", "-c", prelude + script]
    return try CleaveProcess.run(command: hosts.map { ["Cluster/lab.sh", "\($0)", "--slots", "2", "--"] + shell } ?? shell)
}

/// The files of an undisturbed run on one rank.
private let reference = Result {
    let directory = try TemporaryDirectory()
    let run = try CleaveProcess.run(compression + ["--output", directory.path + "/reference"], ranks: 1)
    try #require(run.exitCode == 0, "\(run.errors)")
    return try SmallRun.files(directory.path + "/reference")
}

@Suite(.serialized) struct RunScriptTests {
    @Test(arguments: [
        (["--ranks", "0", "--", "plan"], "--ranks must be a whole number of at least 1, found '0'"),
        (["--retries", "x", "--", "plan"], "--retries must be a whole number of at least 0, found 'x'"),
        (["--host-timeout", "5", "--", "plan"], "--host-timeout must be a whole number of at least 6, found '5'"),
        (["--hostfile", "no-such-file", "--", "plan"], "cannot read the hostfile no-such-file"),
        (["--launcher", "ssh", "--", "plan"], "--launcher must be srun or mpirun, found 'ssh'"),
        (["--rank", "2"], "unknown option --rank"),
        (["--ranks"], "--ranks needs a value"),
    ])
    func usageErrorsAreSaid(arguments: [String], message: String) throws {
        let run = try CleaveProcess.run(command: ["./run_mpi.sh"] + arguments)
        #expect(run.exitCode == 64)
        #expect(run.errors.contains(message), "\(run.errors)")
    }

    @Test func anErrorOfTheUserIsNotRetried() throws {
        let run = try CleaveProcess.run(command: ["./run_mpi.sh", "--retries", "3", "--", "compress", "no-such.yaml"])
        #expect(run.exitCode == 66)
        #expect(!run.errors.contains("retry"))
    }

    @Test func aKilledRankIsMendedByARetry() throws {
        let directory = try TemporaryDirectory()
        let run = try disturb(
            """
            start --ranks 2 --retries 1 -- \(compress(into: directory.path + "/out"))
            await_message '^block 2/'
            kill -KILL "$(pgrep --newest --parent "$(pgrep --parent $job --exact mpirun)")"
            finish
            exit $code
            """, in: directory)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("exit code 137; retry 1 of 1"), "\(run.errors)")
        #expect(run.errors.contains("resuming:"))
        #expect(try SmallRun.files(directory.path + "/out") == reference.get())
    }

    /// An mpirun that does not notice the end of its processes, as happens when PMIx locks itself out.
    @Test func anMpirunWithoutProcessesIsEnded() throws {
        let directory = try TemporaryDirectory()
        let stuck = "#!/usr/bin/env python3\nimport os, time\nif os.fork() == 0: os._exit(0)\ntime.sleep(120)\n"
        try Data(stuck.utf8).write(to: URL(fileURLWithPath: directory.path + "/mpirun"))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory.path + "/mpirun")
        let path = directory.path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")
        let run = try CleaveProcess.run(command: ["PATH=\(path)", "./run_mpi.sh", "--retries", "1", "--host-timeout", "6", "--", "plan", "no-such.yaml"])
        #expect(run.exitCode == 137)
        #expect(run.errors.components(separatedBy: "mpirun has not ended within 6 s of its processes").count == 3, "\(run.errors)")
        #expect(run.errors.contains("exit code 137; retry 1 of 1"), "\(run.errors)")
    }

    @Test func aWishToStopReachesTheRanksAndIsNotRetried() throws {
        let directory = try TemporaryDirectory()
        let run = try disturb(
            """
            start --ranks 2 --retries 1 -- \(compress(into: directory.path + "/out"))
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

enum Lab {
    /// Whether this machine lets us make network namespaces.
    static let isAvailable: Bool = {
        let run = try? CleaveProcess.run(command: ["Cluster/lab.sh", "2", "--", "true"])
        return run?.exitCode == 0
    }()
}

@Suite(.serialized, .enabled(if: Lab.isAvailable, "Cluster/lab.sh needs root and network namespaces"))
struct LabTests {
    @Test func twoHostsGiveTheSameBytes() throws {
        let directory = try TemporaryDirectory()
        let run = try disturb(
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" -- \(compress(into: directory.path + "/out"))
            finish
            exit $code
            """, in: directory, hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("4 ranks"))
        #expect(try SmallRun.files(directory.path + "/out") == reference.get())
    }

    /// Groups are of ranks on one host: two of them here, and never four.
    @Test func ranksOfOneHostShareStages() throws {
        let directory = try TemporaryDirectory()
        let script = { (size: Int) in
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" -- \(compress(into: directory.path + "/out")) --tensor-parallel \(size)
            finish
            exit $code
            """
        }
        let refused = try disturb(script(4), in: directory, hosts: 2)
        #expect(refused.exitCode == 64 && refused.errors.contains("rank 0 and rank 2 would share a stage but are on two nodes"), "\(refused.errors)")
        let run = try disturb(script(2), in: directory, hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("tensor parallel 2"))
        #expect(try SmallRun.files(directory.path + "/out") == reference.get())
    }

    /// docs/lab.md promises a name within the time-out, 7 seconds to see it and 15 to ask the hosts.
    @Test func aLostHostIsNamedAndTheRestFinishes() throws {
        let directory = try TemporaryDirectory()
        let run = try disturb(
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" --host-timeout 6 --retries 1 -- \(compress(into: directory.path + "/out"))
            await_message '^block 2/'
            Cluster/lab.sh cut host2
            SECONDS=0
            await_message 'host host2 does not answer'
            echo $SECONDS
            finish
            exit $code
            """, in: directory, hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("host host2 does not answer"), "\(run.errors)")
        #expect(run.errors.contains("retry 1 of 1 in 5 s on 2 of 4 ranks"), "\(run.errors)")
        let seconds = try #require(Int(run.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(seconds <= 6 + 7 + 15)
        #expect(try SmallRun.files(directory.path + "/out") == reference.get())
    }

    @Test func theLabPassesTheExitCodeOnAndLeavesNothingBehind() throws {
        let before = try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix("cleave-lab.") }
        let run = try CleaveProcess.run(command: ["Cluster/lab.sh", "3", "--", "bash", "-c", "hostname; Cluster/lab.sh kill host3; exit 7"])
        #expect(run.exitCode == 7)
        #expect(run.output == "host1\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix("cleave-lab.") }.count <= before.count)
    }
}
