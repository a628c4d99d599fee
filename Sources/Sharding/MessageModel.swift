// The time of messages among a number of ranks, from what was measured with another.

/// Collectives as MPI libraries do them: short ones in rounds that double the ranks they have reached, long ones so that each rank sends and receives
/// every byte about once in each direction, whatever the number of ranks (Thakur et al. 2005; Rabenseifner 2004).
///
/// The rates hold for as many ranks on a host as there were in the measurement: what they share is in them.
struct MessageModel {
    private let rates: MachineProfile.Rates
    private let measured: Int
    let ranks: Int

    /// - Returns: nil for several ranks when the profile is that of one, which sends no messages.
    init?(_ profile: MachineProfile, ranks: Int) {
        guard ranks == 1 || (profile.ranks > 1 && profile.rates.reduce > 0 && profile.rates.broadcast > 0) else { return nil }
        rates = profile.rates
        measured = profile.ranks
        self.ranks = ranks
    }

    /// Seconds of a collective of a few bytes: as many rounds as doublings.
    var latency: Double { ranks == 1 ? 0 : rates.latency * Self.rounds(ranks) / Self.rounds(measured) }

    /// Seconds of a sum of `bytes` from all ranks to one.
    func reduce(bytes: Double) -> Double { ranks == 1 ? 0 : latency + bytes / rates.reduce * spread }

    /// Seconds of a copy of `bytes` from one rank to all.
    func broadcast(bytes: Double) -> Double { ranks == 1 ? 0 : latency + bytes / rates.broadcast * spread }

    /// Seconds in which each rank sends `bytes` in all to the others, each of which gets as much, a few at a time.
    ///
    /// - Parameter steps: rounds of messages between all pairs.
    func exchange(bytes: Double, steps: Int) -> Double {
        ranks == 1 ? 0 : Double(steps * (ranks - 1)) * rates.latency / Self.rounds(measured) + bytes / rates.broadcast * spread
    }

    /// What a rank does not already have, (R - 1) / R, beside the same of the measurement.
    private var spread: Double { Self.absent(ranks) / Self.absent(measured) }

    private static func absent(_ ranks: Int) -> Double { Double(ranks - 1) / Double(ranks) }

    private static func rounds(_ ranks: Int) -> Double { Double(Int.bitWidth - (ranks - 1).leadingZeroBitCount) }
}
