// How much time a run has left, by what it has done.

/// The time until all work is done, from the time that each kind of work took in the blocks that are done.
///
/// Processors differ in how much longer a factor takes than a product, and matrices of other sizes have other rates. So each kind is measured by itself, in whole
/// blocks: a part of one, such as its largest expert, says little of the rest. The first block with a kind counts until a second one is done: in it memory is taken
/// and kernels are made. Before any is done, a kind that was met twice in the block at hand has its rate there, and any other that of all work so far.
package struct TimeLeft {
    private struct Spent {
        var seconds = 0.0
        /// In any unit that is the same for all kinds.
        var work = 0.0
        var times = 0

        static func + (a: Spent, b: Spent) -> Spent { Spent(seconds: a.seconds + b.seconds, work: a.work + b.work, times: a.times + b.times) }
    }

    private var left: [WorkKind: Double]
    /// Of the block at hand, and of all blocks.
    private var current: [WorkKind: Spent] = [:]
    private var all = Spent()
    /// Of blocks that are done: the first with a kind, and those behind it.
    private var first: [WorkKind: Spent] = [:]
    private var later: [WorkKind: Spent] = [:]
    /// When the last work was done, or the first began.
    private var last: ContinuousClock.Instant?

    /// - Parameter work: all that is to be done.
    package init(work: [WorkKind: Double]) { left = work }

    /// A stage is about to be worked on. What comes before the first, such as embedding tokens, says nothing of any work.
    package mutating func begin(_ now: ContinuousClock.Instant = .now) {
        if last == nil { last = now }
    }

    /// Something was done since the last work, and is to be done no more.
    package mutating func did(_ kind: WorkKind, work: Double, _ now: ContinuousClock.Instant = .now) {
        guard let last else { return }
        self.last = now
        // Tiles that were found committed are read: no measure of anything.
        guard work > 0 else { return }
        let spent = Spent(seconds: last.duration(to: now) / .seconds(1), work: work, times: 1)
        current[kind, default: Spent()] = current[kind, default: Spent()] + spent
        all = all + spent
        left[kind, default: 0] -= work
    }

    /// A block is done.
    package mutating func endBlock() {
        later.merge(current.filter { first[$0.key] != nil }, uniquingKeysWith: +)
        first.merge(current) { first, _ in first }
        current = [:]
    }

    /// In seconds; nil before any work was done.
    package var seconds: Double? {
        guard all.work > 0 else { return nil }
        let known = current.filter { $0.value.times > 1 }.merging(first) { $1 }.merging(later) { $1 }
        return left.reduce(0) { sum, part in
            let rate = known[part.key] ?? all
            return sum + max(part.value, 0) * rate.seconds / rate.work
        }
    }
}
