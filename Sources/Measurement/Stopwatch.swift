// Timing of one piece of work on all ranks at once.

internal import MessagePassing

/// Repeats work and keeps the median of its times.
struct Stopwatch {
    let world: Communicator
    /// Seconds for which each piece of work is repeated, at least.
    let patience: Double

    /// Seconds of the median repetition, where a repetition is as slow as its slowest rank: what all ranks do at once over a longer time.
    ///
    /// The first run, which fills caches and generates code, does not count.
    func seconds(_ work: () throws -> Void) throws -> Double {
        try work()
        var times: [Double] = []
        while times.reduce(0, +) < patience {
            try world.barrier()
            let start = ContinuousClock.now
            try work()
            var slowest = [start.duration(to: .now) / .seconds(1)]
            try world.allReduceMax(&slowest)
            times.append(slowest[0])
        }
        return times.sorted()[times.count / 2]
    }
}
