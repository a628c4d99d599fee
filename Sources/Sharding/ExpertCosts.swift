// What an expert costs in a run, for who works on it and for the time that is left.

/// The work of one expert, in the units of `Plan.solvingWork`.
package struct ExpertCosts: Sendable {
    /// Hessians, factors and tiles that are missing.
    package var solving = 0.0
    /// Of its tokens through it; 0 where nothing needs its outputs.
    package var passing = 0.0

    package init(solving: Double = 0, passing: Double = 0) { (self.solving, self.passing) = (solving, passing) }

    /// The share of each round in the time of all, for one part of the costs: a round takes as long as the expert in it that takes longest.
    package static func shares(of rounds: [[Int?]], _ costs: [Double]) -> [Double] {
        let longest = rounds.map { round in round.map { $0.map { costs[$0] } ?? 0 }.max() ?? 0 }
        let all = longest.reduce(0, +)
        return longest.map { all > 0 ? $0 / all : 0 }
    }
}
