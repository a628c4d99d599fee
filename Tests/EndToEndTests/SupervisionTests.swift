// Whatever becomes of a launch, it ends, and nothing of it is left: kills while ranks connect, kills of run_mpi.sh and of mpirun, hang-ups, Ctrl-Z.

import Foundation
import Testing

@Suite(.serialized) struct SupervisionTests {
    /// mpirun itself may lock itself out when a rank dies while it connects; run_mpi.sh ends it, with or without `--retries`.
    @Test func ranksAreKilledWhileTheyConnect() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            killed=0
            for attempt in {1..15}; do
                start --ranks 3 --host-timeout 6 -- \(Disturbance.compress(into: directory.path + "/out"))
                within 20 ranks >/dev/null
                sleep 0.$((attempt * 7 % 10))
                kill -KILL "$(ranks | tail -n 1)" 2>/dev/null
                SECONDS=0
                within 25 eval '! kill -0 $job 2>/dev/null' || echo "attempt $attempt: stays"
                kill $job 2>/dev/null
                finish 2>/dev/null
                ((code != 137)) || ((++killed))
                within 5 nobody || echo "attempt $attempt: left $(marked)"
            done
            ls "$TMPDIR"
            exit $killed
            """, in: directory)
        #expect(run.output.isEmpty, "\(run.output) \(run.errors)")
        #expect(run.exitCode >= 12, "\(run.exitCode) of 15 launches had a rank killed")
    }

    /// An mpirun that does not notice the end of its processes, as happens when PMIx locks itself out.
    @Test(arguments: [0, 1]) func anMpirunWithoutProcessesIsEnded(retries: Int) throws {
        let directory = try TemporaryDirectory()
        let stuck = """
            #!/usr/bin/env python3
            import os, sys, time
            if "--version" in sys.argv: sys.exit(print("mpirun (Open MPI) 4.1.4"))
            if os.fork() == 0: os._exit(0)
            time.sleep(120)

            """
        try Data(stuck.utf8).write(to: URL(fileURLWithPath: directory.path + "/mpirun"))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory.path + "/mpirun")
        let path = directory.path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")
        let run = try CleaveProcess.run(
            command: ["PATH=\(path)", "./run_mpi.sh", "--retries", "\(retries)", "--host-timeout", "6", "--", "plan", "no-such.yaml"])
        #expect(run.exitCode == 137)
        #expect(run.errors.components(separatedBy: "mpirun has not ended within 6 s of its processes").count == retries + 2, "\(run.errors)")
        #expect(run.errors.contains("exit code 137; retry 1 of 1") == (retries == 1), "\(run.errors)")
    }

    /// SIGKILL of the script, of its whole group, and of mpirun: nobody is left, and no file.
    @Test(arguments: ["kill -KILL $job", "kill -KILL -- -$job", "kill -KILL $(launcher)"], [0, 1])
    func aKilledLaunchLeavesNobody(kill: String, retries: Int) throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            set -m # the job has a group of its own
            start --ranks 2 --retries \(retries) -- \(Disturbance.compress(into: directory.path + "/out"))
            set +m
            await_message '^block 1/'
            \(kill)
            [ \(retries) = 0 ] || sleep 3
            [ \(retries) = 0 ] || kill $job 2>/dev/null
            finish 2>/dev/null
            within 20 nobody || echo "left: $(marked)"
            ls "$TMPDIR"
            exit $code
            """, in: directory)
        #expect(run.exitCode == 137 || retries == 1 && run.exitCode == 143, "\(run.exitCode)")
        #expect(run.output.isEmpty, "\(run.output) \(run.errors)")
    }

    /// When everything is killed at once, the next run removes what is left: its directory and its shared memory.
    @Test func theNextRunRemovesWhatIsLeft() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            start --ranks 2 -- \(Disturbance.compress(into: directory.path + "/out"))
            await_message '^block 1/'
            # None acts on the end of another.
            kill -STOP $(marked) && kill -KILL $(marked)
            finish 2>/dev/null
            cat "$TMPDIR"/cleave-mpi.*/segments >"$TMPDIR/../segments" && [ -s "$TMPDIR/../segments" ] || exit 1
            ls $(cat "$TMPDIR/../segments") | wc -l
            ./run_mpi.sh --ranks 1 -- inspect Demo/wikillama >/dev/null 2>&1 || echo "exit code $?"
            ls "$TMPDIR"
            ls $(cat "$TMPDIR/../segments") 2>/dev/null
            exit 0
            """, in: directory)
        #expect(run.output == "2\n", "\(run.output) \(run.errors)")
    }

    /// `nohup` keeps a run going when its terminal hangs up; without it the run ends.
    @Test func nohupKeepsARunGoing() throws {
        let directory = try TemporaryDirectory()
        let script = { (prefix: String, output: String) in
            """
            set -m
            \(prefix)
            start --ranks 2 -- \(Disturbance.compress(into: directory.path + output))
            set +m
            await_message '^block 1/'
            kill -HUP -- -$job
            finish
            exit $code
            """
        }
        let kept = try Disturbance.run(script("trap '' HUP # as nohup does", "/kept"), in: directory)
        #expect(kept.exitCode == 0, "\(kept.errors)")
        let ended = try Disturbance.run(script("", "/ended"), in: directory)
        #expect(ended.exitCode == 129, "\(ended.exitCode) \(ended.errors)")
    }

    /// A shell on a terminal: Ctrl-Z gives its prompt back while the ranks rest, `fg` lets them go on, Ctrl-C ends them.
    @Test func theTerminalStopsAndContinuesARun() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            states() { ps -o stat= -p "$(pgrep --parent "$(pgrep 'mpirun|prterun' --parent "$(pgrep --full '^bash ./run_mpi.sh .*\(directory.path)' | head -n 1)")" | paste -sd ,)"; }
            rest() { states 2>/dev/null | grep -q . && ! states 2>/dev/null | grep -qv '^T'; }
            work() { states 2>/dev/null | grep -q . && ! states 2>/dev/null | grep -q '^T'; }
            terminal="$TMPDIR/terminal"
            {
                printf './run_mpi.sh --ranks 2 -- \(Disturbance.compress(into: directory.path + "/out"))\n'
                within 30 grep -q 'block 1/' "$terminal"
                printf '\\032'
                within 10 rest && echo "ranks rest" >&2
                printf 'echo the prompt is $((40 + 2))\n'
                within 10 grep -q 'the prompt is 42' "$terminal"
                printf 'fg\n'
                within 10 work && echo "ranks work" >&2
                printf '\\003'
                sleep 1
                printf 'echo the code is $?\nexit\n'
                within 20 grep -q 'the code is 1' "$terminal"
            } | CLEAVE_PROGRESS=lines script --quiet --flush --command 'bash --norc --noprofile -i' "$terminal" >/dev/null
            cat "$terminal"
            """, in: directory)
        #expect(run.errors.contains("ranks rest") && run.errors.contains("ranks work"), "\(run.errors) \(run.output)")
        #expect(run.output.contains("the prompt is 42") && run.output.contains("the code is 130"), "\(run.output)")
    }
}
