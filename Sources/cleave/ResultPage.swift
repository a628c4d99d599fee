// The page of a run, written when the run ends, however it ends.

import Checkpoints
import Failures
import MessagePassing
import Pages
import Reporting
import Safetensors

/// Runs work on an output directory, and writes its page when that is done, or has failed. Collective.
///
/// - Parameter goesOn: whether the run has more to do after `body`: then it gets a page only when that fails.
/// - Throws: what `body` throws; 73 when the page of a run that did not fail cannot be written.
func withPage(of work: WorkDirectory, goesOn: Bool = false, _ world: Communicator, _ body: () throws -> Void) throws {
    do {
        try body()
    } catch {
        if world.isCoordinator {
            // What ended the run is what the user is to hear of.
            do { try writePage(of: work) } catch { Console.error("note: no page of this run: \(error)\n") }
        }
        throw error
    }
    if !goesOn { try world.onCoordinator(exitCode: Failures.exitCode) { try writePage(of: work) } }
}

/// Writes OUTPUT/cleave/report.html of a run that this process has brought to its end.
func writePage(of work: WorkDirectory) throws {
    try AtomicFile.write(Page([RunAccount(of: work.output, isOver: true)]).html(), to: work.page)
}
