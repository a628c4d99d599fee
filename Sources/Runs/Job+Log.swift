// The log of a job: OUTPUT/cleave/events.jsonl, and a copy where a program follows it.

internal import Checkpoints
internal import Failures
internal import Glibc
internal import LinearAlgebra
internal import MessagePassing
internal import Recipes
public import Reporting
internal import Sharding

extension Job {
    /// Works on the job's directory, which has been entered, while the log says how that goes. Collective.
    ///
    /// - Parameters:
    ///   - memory: what was planned; nil where nothing was.
    ///   - events: a file that gets the same lines.
    /// - Throws: 73 when the log cannot be opened; what `body` throws.
    public func logged<Result>(memory: MemoryReport?, events: String? = nil, _ body: () throws -> Result) throws -> Result {
        let copy = try world.fromCoordinator(exitCode: exitCode) { () throws -> UInt64? in
            log = try openedLog(events)
            log?.write(.runBegin) { $0.attempt = attempt(memory) }
            return events.flatMap(fileNumber)
        }
        // Another rank writes where it sees the same file.
        if let events, let copy, fileNumber(events) == copy { FailureLog.follow(events) }
        FailureLog.begin()
        defer { log = nil }
        do {
            let result = try body()
            log?.write(.runEnd) { $0.exitCode = 0 }
            return result
        } catch {
            // What all know of, one writes down; an error that only one rank knows of ends the others at once.
            if !(error is AgreedFailure) {
                FailureLog.say("\(world.place)\(error)", exitCode: exitCode(for: error))
            } else if world.isCoordinator {
                FailureLog.say("\(error)", exitCode: exitCode(for: error))
            }
            throw error
        }
    }

    /// What there is before an attempt.
    ///
    /// - Parameter memory: what was planned; nil where nothing was.
    func attempt(_ memory: MemoryReport? = nil) -> AttemptReport {
        AttemptReport(
            cleave: cleaveVersion, model: recipe.model, planHash: planHash, hosts: hosts, threads: Threads.count, memory: memory, tiles: plan.tileCount)
    }

    /// Says that a part of the run begins; of logs the coordinator's alone has it.
    public func begins(_ part: RunEvent.Part) {
        clock.begin(part)
        log?.write(.phaseBegin) { $0.phase = part }
    }

    private func openedLog(_ events: String?) throws -> RunLog {
        do {
            return try RunLog([work.log] + [events].compactMap { $0 })
        } catch {
            throw PipelineError(.cannotWrite, "\(error)")
        }
    }
}

/// The number of a file in its file system, by which hosts know a shared one; nil where none is.
private func fileNumber(_ path: String) -> UInt64? {
    var status = stat()
    return stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
}
