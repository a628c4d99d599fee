// How much time a run has left, by what it has done.

/// The time until all work is done, from what each kind of work has taken so far.
///
/// Processors differ in how much longer a factor takes than a product, and matrices of other sizes have other rates. So each kind is measured by itself; a kind that was not
/// done yet is taken for as fast as the others together. What comes before the first work, such as embedding tokens, says nothing of any. Nor does the first
/// work of a kind once it was done again: in it memory is taken and kernels are made. Where the first was a small part, as one expert of hundreds, it says nothing
/// alone either.
package struct TimeLeft {
    private struct Spent {
        var seconds = 0.0
        /// In any unit that is the same for all kinds.
        var work = 0.0

        static func + (a: Spent, b: Spent) -> Spent { Spent(seconds: a.seconds + b.seconds, work: a.work + b.work) }
    }

    private var left: [WorkKind: Double]
    private let total: [WorkKind: Double]
    /// The first time that a kind was done, and all others.
    private var first: [WorkKind: Spent] = [:]
    private var later: [WorkKind: Spent] = [:]
    /// When the last work was done, or the first began.
    private var last: ContinuousClock.Instant?

    /// - Parameter work: all that is to be done.
    package init(work: [WorkKind: Double]) { (left, total) = (work, work) }

    /// The least share of a kind's work whose first part is taken for its rate.
    private static let telling = 0.05

    /// A stage is about to be worked on.
    package mutating func begin(_ now: ContinuousClock.Instant = .now) {
        if last == nil { last = now }
    }

    /// Something was done since the last work, and is to be done no more.
    package mutating func did(_ kind: WorkKind, work: Double, _ now: ContinuousClock.Instant = .now) {
        guard let last else { return }
        self.last = now
        // Tiles that were found committed are read: no measure of anything.
        guard work > 0 else { return }
        let spent = Spent(seconds: last.duration(to: now) / .seconds(1), work: work)
        if first[kind] == nil { first[kind] = spent } else { later[kind, default: Spent()] = later[kind, default: Spent()] + spent }
        left[kind, default: 0] -= work
    }

    /// In seconds; nil where no rate is known.
    package var seconds: Double? {
        let known = first.filter { $0.value.work >= Self.telling * total[$0.key, default: 0] }.merging(later) { $1 }
        let told = known.values.reduce(Spent(), +), done = first.merging(later) { $0 + $1 }.values.reduce(Spent(), +)
        guard done.work > 0 else { return nil }
        // What is known of less than half of the work says little of the others.
        let all = 2 * told.work >= done.work ? told : done
        return left.reduce(0) { sum, part in
            let rate = known[part.key] ?? all
            return sum + max(part.value, 0) * rate.seconds / rate.work
        }
    }
}
