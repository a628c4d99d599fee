// The time of reading and writing by a number of ranks, from what was measured with another.

/// What ranks read and write together: no more than the ranks of the measurement did, since a file system is shared.
struct DiskModel {
    private let rates: MachineProfile.Rates
    private let measured: Int

    init(_ profile: MachineProfile) {
        rates = profile.rates
        measured = profile.ranks
    }

    /// Bytes a second of some ranks together.
    func read(ranks: Int) -> Double { rates.diskRead * Double(min(ranks, measured)) }
    func write(ranks: Int) -> Double { rates.diskWrite * Double(min(ranks, measured)) }
}
