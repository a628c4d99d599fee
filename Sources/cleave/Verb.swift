// What a verb says of itself: which processes do its work, with how many threads.

import ArgumentParser
import LinearAlgebra
import MessagePassing

/// Which of the processes that a launcher starts do a verb's work.
enum VerbRanks {
    /// All; a launcher that cannot connect them is an error, since each would write the same output.
    case all
    /// All that a launcher connects; the first task of a Slurm step that does not.
    case connected
    /// The first, whatever started it.
    case first

    /// nil for a process that has nothing to do.
    func world() throws(SessionError) -> Communicator? {
        switch self {
        case .all: try Session.start()
        case .connected: try Session.startAnywhere()
        case .first: Launcher.current.rank == 0 ? .alone() : nil
        }
    }
}

/// A subcommand that runs on ranks.
protocol Verb: ParsableCommand {
    static var ranks: VerbRanks { get }
    var common: CommonOptions { get }
    /// Where a program follows what the verb does.
    var events: String? { get }
    func run(_ world: Communicator) throws
}

extension Verb {
    static var ranks: VerbRanks { .all }
    var events: String? { nil }

    /// Threads of this rank: as asked; else OMP_NUM_THREADS; else all of its cores when it runs alone, one beside other ranks.
    func threads(_ world: Communicator) throws -> Int {
        common.threads ?? environmentThreads() ?? (world.size == 1 ? Threads.availableCores : 1)
    }
}
