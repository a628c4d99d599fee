// Runs of run_mpi.sh that a script disturbs.

import Foundation
import Testing

enum Disturbance {
    /// A compression that lasts a few seconds, so that there is time to disturb it.
    private static let compression =
        ["compress", "Configs/demo.yaml"]
        + ["calibration.sequences=64", "calibration.length=128", "compute=f32", "evaluation=null", "max_shard_size=2MB"].flatMap { ["--set", $0] }

    static func compress(into output: String) -> String { (compression + ["--output", output]).joined(separator: " ") }

    /// The files of an undisturbed run on one rank.
    static let reference = Result {
        let directory = try TemporaryDirectory()
        let run = try CleaveProcess.run(compression + ["--output", directory.path + "/reference"], ranks: 1)
        try #require(run.exitCode == 0, "\(run.errors)")
        return try SmallRun.files(directory.path + "/reference")
    }

    /// Runs a bash script, which may use:
    ///
    /// - `start ARGUMENTS`: run_mpi.sh in the background as `$job`, its messages in the file `$messages`; what it starts has a mark in its environment
    /// - `await_message PATTERN`: waits for a message, or for the end of the job
    /// - `finish`: waits for the job, prints its messages, sets `code`
    /// - `launcher`, `ranks`: process numbers on this host; `marked`: those of everything that `start` has started
    /// - `within SECONDS COMMAND`: whether a command comes to succeed
    static func run(_ script: String, in directory: TemporaryDirectory, hosts: Int? = nil) throws -> CleaveRun {
        let prelude = """
            set -uo pipefail
            messages=\(directory.path)/messages mark=$$-$RANDOM
            # Short: run_mpi.sh takes no longer one, since paths of sockets are short.
            export TMPDIR=${LAB_DIR:-\(directory.path)}/t
            mkdir -p "$TMPDIR"
            start() { : >"$messages"; CLEAVE_TEST_MARK=$mark ./run_mpi.sh "$@" >/dev/null 2>"$messages" & job=$!; }
            await_message() { until grep -q "$1" "$messages" || ! kill -0 "$job" 2>/dev/null; do sleep 0.05; done; }
            finish() { wait "$job"; code=$?; cat "$messages" >&2; }
            launcher() { pgrep --parent "$job" 'mpirun|prterun'; }
            ranks() { local found; found=$(launcher) && pgrep --parent "$found"; }
            marked() { grep -lszxF "CLEAVE_TEST_MARK=$mark" /proc/[0-9]*/environ | cut -d / -f 3; }
            nobody() { [ -z "$(marked)" ]; }
            within() { local end=$((SECONDS + $1)); shift; until "$@"; do ((SECONDS < end)) || return 1; sleep 0.1; done; }

            """
        let shell = ["bash", "-c", prelude + script]
        return try CleaveProcess.run(command: hosts.map { ["Cluster/lab.sh", "\($0)", "--slots", "2", "--"] + shell } ?? shell)
    }
}
