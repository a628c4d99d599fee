// Timing of one piece of work on all ranks at once.

internal import MessagePassing

/// Repeats work and keeps the best time.
struct Stopwatch {
    let world: Communicator
    /// Seconds for which each piece of work is repeated, at least.
    let patience: Double

    /// Seconds of the fastest repetition, where a repetition is as slow as its slowest rank: the best of what all ranks can do at once.
    ///
    /// The first run, which fills caches and generates code, does not count.
    func seconds(_ work: () throws -> Void) throws -> Double {
        try work()
        var (best, spent) = (Double.infinity, 0.0)
        while spent < patience {
            try world.barrier()
            let start = ContinuousClock.now
            try work()
            var slowest = [start.duration(to: .now) / .seconds(1)]
            try world.allReduceMax(&slowest)
            best = min(best, slowest[0])
            spent += slowest[0]
        }
        return best
    }
}
