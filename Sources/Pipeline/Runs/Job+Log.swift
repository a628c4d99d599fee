// The log of a job: OUTPUT/cleave/events.jsonl, and a copy where a program follows it.

internal import MessagePassing
internal import Recipes
public import Reporting
internal import Sharding

extension Job {
    /// Works on the job's directory, which has been entered, while the log says how that goes. Collective.
    ///
    /// - Parameters:
    ///   - memory: what was planned; nil where nothing was.
    ///   - threads: of each rank.
    ///   - events: a file that gets the same lines.
    /// - Throws: 73 when the log cannot be opened; what `body` throws.
    public func logged<Result>(memory: MemoryReport?, threads: Int, events: String? = nil, _ body: () throws -> Result) throws -> Result {
        let names = try world.gather(Array(Session.hostName.utf8)).map { String(decoding: $0, as: UTF8.self) }
        try world.onCoordinator(exitCode: exitCode) {
            log = try openedLog(events)
            let hosts = names.reduce(into: [:]) { $0[$1, default: 0] += 1 }
            log?.write(.runBegin) {
                $0.attempt = AttemptReport(
                    cleave: cleaveVersion, model: recipe.model, planHash: planHash, hosts: hosts, threads: threads, memory: memory,
                    tiles: plan.tileCount)
            }
        }
        defer { log = nil }
        do {
            let result = try body()
            log?.write(.runEnd) { $0.exitCode = 0 }
            return result
        } catch {
            let code = exitCode(for: error)
            // An error that only one rank knows of ends the others at once: that rank is the one to write it down.
            if log == nil, !(error is AgreedFailure) { log = try? RunLog([work.log]) }
            log?.write(.error) { ($0.message, $0.exitCode) = ("\(error)", code) }
            if world.isCoordinator { log?.write(.runEnd) { $0.exitCode = code } }
            throw error
        }
    }

    /// Says that a part of the run begins; of logs the coordinator's alone has it.
    public func begins(_ part: RunEvent.Part) {
        clock.leave()
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
