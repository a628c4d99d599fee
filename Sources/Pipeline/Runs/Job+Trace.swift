// The trace of a run: a file of each rank while it goes on, and all of them in one, by one clock, when it ends.

internal import Foundation
internal import MessagePassing
internal import Reporting

extension Job {
    /// Works while every rank writes down what it does from when to when, if that is asked for. Collective.
    ///
    /// - Throws: 73 when the files cannot be made; what `body` throws.
    public func traced<Result>(_ isAsked: Bool, _ body: () throws -> Result) throws -> Result {
        guard isAsked else { return try body() }
        try world.onCoordinator(exitCode: exitCode) {
            do {
                if FileManager.default.fileExists(atPath: work.traces) { try FileManager.default.removeItem(atPath: work.traces) }
                try FileManager.default.createDirectory(atPath: work.traces, withIntermediateDirectories: true)
            } catch {
                throw PipelineError(.cannotWrite, "cannot make \(work.traces): \(error.localizedDescription)")
            }
        }
        let (origin, offset) = try world.commonClock()
        let trace = try world.together(exitCode: exitCode) {
            do {
                return try TraceFile(path: work.trace(of: world.rank), rank: world.rank, host: Session.hostName, origin: origin, offset: offset)
            } catch {
                throw PipelineError(.cannotWrite, "cannot make \(work.trace(of: world.rank)): \(error.localizedDescription)")
            }
        }
        clock.trace = trace
        do {
            let result = try body()
            try finish(trace)
            return result
        } catch let failure as AgreedFailure {
            try finish(trace)
            throw failure
        } catch {
            // The other ranks do not know: each file stands for itself.
            clock.trace = nil
            trace.close()
            throw error
        }
    }

    private func finish(_ trace: TraceFile) throws {
        clock.leave()
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
}

extension Communicator {
    /// A moment of this rank's clock, and when that is by the first rank's clock, in seconds from a moment of that one. Collective.
    ///
    /// Clocks of hosts have nothing to do with each other. Ranks leave a barrier at about the same time, and the median of several says how far they are
    /// apart, to about the time that one takes.
    fileprivate func commonClock() throws(MPIError) -> (origin: ContinuousClock.Instant, offset: Double) {
        let origin = ContinuousClock.now
        var own: [Double] = []
        for _ in 0..<9 {
            try barrier()
            own.append(origin.duration(to: .now) / .seconds(1))
        }
        let first = try broadcast(own)
        return (origin, zip(first, own).map { $0 - $1 }.sorted()[own.count / 2])
    }
}
