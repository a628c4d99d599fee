// The trace of a run: a file of each rank while it goes on, and all of them in one, by one clock, when it ends.

public import Checkpoints
internal import Failures
internal import Foundation
public import MessagePassing
public import Reporting

/// Works while every rank writes down what it does from when to when, if that is asked for. What the clock measured before is a part of it. Collective.
///
/// - Parameters:
///   - work: a directory that has been entered.
///   - clock: awaits the trace.
/// - Throws: 73 when the files cannot be made; what `body` throws.
public func traced<Result>(
    _ isAsked: Bool, in work: WorkDirectory, by clock: PhaseClock, _ world: Communicator, _ body: () throws -> Result
) throws -> Result {
    guard isAsked else { return try body() }
    try world.onCoordinator(exitCode: exitCode) {
        do {
            if FileManager.default.fileExists(atPath: work.traces) { try FileManager.default.removeItem(atPath: work.traces) }
            try FileManager.default.createDirectory(atPath: work.traces, withIntermediateDirectories: true)
        } catch {
            throw PipelineError(.cannotWrite, "cannot make \(work.traces): \(error.localizedDescription)")
        }
    }
    let (origin, offset) = try world.commonClock(since: clock.began)
    let trace = try world.together(exitCode: exitCode) {
        do {
            return try TraceFile(path: work.trace(of: world.rank), rank: world.rank, of: world.size, host: Session.hostName, origin: origin, offset: offset)
        } catch {
            throw PipelineError(.cannotWrite, "cannot make \(work.trace(of: world.rank)): \(error.localizedDescription)")
        }
    }
    clock.trace = trace
    do {
        let result = try body()
        try finish(trace, work, clock, world)
        return result
    } catch let failure as AgreedFailure {
        try finish(trace, work, clock, world)
        throw failure
    } catch {
        // The other ranks do not know: each file stands for itself.
        clock.trace = nil
        trace.close()
        throw error
    }
}

private func finish(_ trace: TraceFile, _ work: WorkDirectory, _ clock: PhaseClock, _ world: Communicator) throws {
    clock.end()
    clock.trace = nil
    trace.close()
    try world.barrier()
    guard world.isCoordinator else { return }
    do {
        try TraceFile.merge((0..<world.size).map(work.trace(of:)), to: work.trace)
    } catch {
        Console.error("note: the traces of the ranks in \(work.traces) could not be joined: \(error.localizedDescription)\n")
    }
}

extension Communicator {
    /// A moment of this rank's clock, and when that is by the clock of all, in seconds from the first moment of any rank. Collective.
    ///
    /// Clocks of hosts have nothing to do with each other. Ranks leave a barrier at about the same time, and the median of several says how far they are
    /// apart, to about the time that one takes.
    ///
    /// - Parameter began: this rank's first moment.
    fileprivate func commonClock(since began: ContinuousClock.Instant) throws(MPIError) -> (origin: ContinuousClock.Instant, offset: Double) {
        let origin = ContinuousClock.now
        var own: [Double] = []
        for _ in 0..<9 {
            try barrier()
            own.append(origin.duration(to: .now) / .seconds(1))
        }
        let first = try broadcast(own)
        let offset = zip(first, own).map { $0 - $1 }.sorted()[own.count / 2]
        // Seconds from a rank's first moment to the common origin, the most of all.
        var earliest = [began.duration(to: origin) / .seconds(1) - offset]
        try allReduceMax(&earliest)
        return (origin, offset + earliest[0])
    }
}
