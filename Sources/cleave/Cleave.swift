// The command: parses its arguments on every rank, runs a verb inside MPI, and ends all ranks with one exit code.

import ArgumentParser
import Failures
import Glibc
import LinearAlgebra
import MessagePassing
import Reporting

@main
struct Cleave: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cleave",
        abstract: "Compresses language models that no single node can hold, over MPI ranks.",
        discussion: """
            Run it under mpirun or srun, or through run_mpi.sh; without a launcher it runs on one rank.

            Exit codes: 0 done, 64 usage, 65 bad input data, 66 missing input, 70 internal error, 71 the system refused (memory, MPI), \
            73 cannot write, 74 I/O error, 75 stopped in good order (run again to resume), 78 a launcher that does not speak to this MPI library.
            """,
        // Asking the libraries takes a moment, which only those wait for who ask.
        version: CommandLine.arguments.contains("--version") ? versionText() : cleaveVersion,
        subcommands: [
            InitVerb.self, PlanVerb.self, CompressVerb.self, MergeVerb.self, StatusVerb.self, ReportVerb.self, VerifyVerb.self, ConvertVerb.self,
            PruneExpertsVerb.self, EvalVerb.self, InspectVerb.self, TokenizeVerb.self, BenchVerb.self, ManualVerb.self,
        ])

    static func main() {
        startAgainForOpenBLAS()
        do {
            var command = try parseAsRoot()
            if let verb = command as? any Verb {
                runInsideMPI(verb)
            } else if let manual = command as? ManualVerb {
                try manual.run(description: _dumpHelp())
            } else {
                // Help and version are commands too; they throw what is to be printed.
                try command.run()
            }
        } catch {
            // Every rank parses the same arguments; one prints. The others leave without a complaint, for which Open MPI 5 would end the one that prints.
            guard Launcher.current.rank == 0 else { quit(0) }
            let text = fullMessage(for: error) + "\n"
            let code = exitCode(for: error).rawValue
            if code == EX_OK { Console.output(text) } else { Console.error(text) }
            if code != EX_OK, CommandLine.arguments.contains("--json") { Console.output(errorValue(message(for: error), exitCode: code)) }
            quit(code)
        }
    }

    private static func runInsideMPI(_ verb: any Verb) {
        // One rank makes the file where there is none yet.
        FailureLog.follow(Launcher.current.rank == 0 ? verb.events : nil)
        explainMappingFailures()
        let world: Communicator
        do {
            guard let found = try type(of: verb).ranks.world() else { return }
            world = found
        } catch {
            // Processes that are strangers to each other would all say the same. A rank that PMIx alone names may be the only one that knows.
            if Launcher.current.rank == 0 || Launcher.current.source == "PMIX_RANK" {
                say(error: "\(error)", exitCode: error.exitCode, json: verb.common.json)
            }
            quit(error.exitCode)
        }
        explainCrashes()
        MemoryPool.whenRefused { reason in
            let remedy =
                "a limit of the system (ulimit, batch job) is lower than what the plan counts on; give it with --memory-per-rank, or take more ranks"
            say(error: "\(world.place)\(reason): \(remedy)", exitCode: EX_OSERR, json: false)
            end(world, EX_OSERR)
        }
        do {
            let threads = try verb.threads(world)
            try world.together(exitCode: Failures.exitCode) {
                // Of several ranks one more thread waits for messages.
                let all = world.size > 1 ? threads + 1 : threads
                try AddressSpace.require([("\(all) threads", all * AddressSpace.bytesOfThread)])
            }
            if type(of: verb).ranks == .all, let binding = try CoreBinding.fromEnvironment?.apply(world, threads: threads), world.isCoordinator {
                Console.error("cleave: \(binding)\n")
            }
            Threads.count = threads
            try verb.run(world)
            Session.finish()
        } catch let failure as AgreedFailure {
            if world.isCoordinator { say(error: "\(failure)", exitCode: failure.exitCode, json: verb.common.json) }
            Session.finish()
            quit(failure.exitCode)
        } catch {
            let code = Failures.exitCode(for: error)
            say(error: "\(world.place)\(error)", exitCode: code, json: verb.common.json)
            end(world, code)
        }
    }

    /// Ends the other ranks, too, which do not know: none waits for this one.
    private static func end(_ world: Communicator, _ code: Int32) -> Never { world.size > 1 ? Session.abort(code: code) : quit(code) }
}
