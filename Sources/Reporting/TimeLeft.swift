// How much time a run has left, by what it has done.

/// The time until all work is done, from the rate of the work done so far.
///
/// What comes before the first work, such as embedding tokens, says nothing of the rate. Nor does the first block once there is a second one: in it memory is
/// taken and kernels are made.
package struct TimeLeft {
    /// In any unit.
    private let total: Double
    private var done = 0.0
    /// When the stage began that did the first work.
    private var began: ContinuousClock.Instant?
    /// After the first block that did any, and whether another one is done since.
    private var first: (done: Double, time: ContinuousClock.Instant)?
    private var hasSecond = false

    /// - Parameter work: all that is to be done.
    package init(work: Double) { total = work }

    /// A stage is about to be worked on.
    package mutating func begin(_ now: ContinuousClock.Instant = .now) {
        if done == 0 { began = now }
    }

    package mutating func add(work: Double) { done += work }

    /// A block is done.
    package mutating func endBlock(_ now: ContinuousClock.Instant = .now) {
        if let first { hasSecond = hasSecond || done > first.done } else if done > 0 { first = (done, now) }
    }

    /// In seconds; nil where no rate is known.
    package func seconds(_ now: ContinuousClock.Instant = .now) -> Double? {
        guard let began, done > 0 else { return nil }
        let rest = max(total - done, 0)
        // A second block in its middle is no measure yet.
        if let first, hasSecond { return rest * (first.time.duration(to: now) / .seconds(1)) / (done - first.done) }
        return rest * (began.duration(to: now) / .seconds(1)) / done
    }
}
