// The time of messages among a number of ranks, from what was measured with another.

/// Collectives as MPI libraries do them: short ones in rounds that double the ranks they have reached, long ones so that each host sends and receives
/// every byte about once in each direction, whatever the number of hosts (Thakur et al. 2005; Rabenseifner 2004). What goes to, or comes from, all ranks of a
/// host goes over its memory first, or last.
///
/// The rates hold for as many ranks on a host as there were in the measurement: what they share is in them.
struct MessageModel {
    private let rates: MachineProfile.Rates
    private let measured: (ranks: Int, ofHost: Int, hosts: Int)
    let ranks: Int
    private let shape: HostShape
    /// The most ranks of a host.
    var ranksOfHost: Int { shape.most }

    /// - Parameter ranksOfHost: nil: as many as were measured. A profile of one host says nothing of others, and takes all ranks to be on one.
    /// - Returns: nil for several ranks when the profile says nothing of messages such as theirs.
    init?(_ profile: MachineProfile, ranks: Int, ranksOfHost: Int? = nil) {
        let ofHost = (profile.ranks + profile.hosts - 1) / profile.hosts
        shape = HostShape(ranks: ranks, most: profile.hosts == 1 ? ranks : ranksOfHost ?? ofHost)
        measured = (profile.ranks, ofHost, profile.hosts)
        rates = profile.rates
        self.ranks = ranks
        guard ranks > 1 else { return }
        guard shape.most == 1 || (ofHost > 1 && rates.reduceInHost > 0 && rates.broadcastInHost > 0) else { return nil }
        guard shape.hosts == 1 || (rates.reduce > 0 && rates.broadcast > 0) else { return nil }
        guard rates.exchange > 0 else { return nil }
    }

    /// Seconds of a collective of a few bytes: as many rounds as doublings.
    var latency: Double { ranks == 1 ? 0 : rates.latency * Self.rounds(ranks) / Self.rounds(measured.ranks) }

    /// Seconds of a sum of `bytes` from all ranks to one, where sums to ranks of all hosts go on side by side: the ranks of a host add in its memory, and a
    /// host sends what it does not keep.
    func reduce(bytes: Double) -> Double { inHost(bytes, rates.reduceInHost) + reduceOfHosts(bytes: bytes) }

    /// The same of what each host has once.
    ///
    /// - Parameter ordering: seconds in which one rank would put a host's values in order, of which each of its ranks does a share.
    func reduceOfHosts(bytes: Double, ordering: Double = 0) -> Double {
        let between = shape.hosts == 1 ? 0 : bytes / rates.reduce * Self.absent(shape.hosts) / Self.absent(measured.hosts)
        return latency + ordering / Double(shape.most) + between
    }

    /// Seconds of a copy of `bytes` from one rank to all: over one link, then in each host.
    func broadcast(bytes: Double) -> Double { inHost(bytes, rates.broadcastInHost) + broadcastToHosts(bytes: bytes) }

    /// The same where the ranks of a host read one copy.
    func broadcastToHosts(bytes: Double) -> Double { latency + (shape.hosts == 1 ? 0 : bytes / rates.broadcast) }

    /// Seconds in which each rank has `bytes` for all ranks alike, itself included, and gets as many, a few at a time. Between hosts they share the link.
    ///
    /// - Parameter steps: rounds of messages between all pairs.
    func exchange(bytes: Double, steps: Int) -> Double {
        guard ranks > 1 else { return 0 }
        let latency = Double(steps * (ranks - 1)) * rates.latency / Self.rounds(measured.ranks)
        guard shape.hosts > 1 else { return latency + bytes * Self.absent(ranks) / (measured.hosts == 1 ? rates.exchange : rates.broadcastInHost) }
        return latency + bytes * Self.absent(shape.hosts) * Double(shape.most) / Double(measured.ofHost) / rates.exchange
    }

    private func inHost(_ bytes: Double, _ rate: Double) -> Double {
        shape.most == 1 ? 0 : bytes / rate * Self.absent(shape.most) / Self.absent(measured.ofHost)
    }

    /// What one of several does not already have, (R - 1) / R.
    private static func absent(_ count: Int) -> Double { Double(count - 1) / Double(count) }

    private static func rounds(_ ranks: Int) -> Double { Double(Int.bitWidth - (ranks - 1).leadingZeroBitCount) }
}
