// The world of the test process: MPI starts once in a process, whichever tests ask for it first.

internal import Glibc
public import MessagePassing

public enum TestWorld {
    /// All ranks; one rank without a launcher. MPI is finalised when the process exits.
    public static let world: Communicator = {
        do {
            let world = try Session.start()
            atexit { Session.finish() }
            return world
        } catch {
            fatalError("\(error)")
        }
    }()
}
