// Measures what this machine can do with the operations that compression is made of.

internal import LinearAlgebra
public import MessagePassing
public import Sharding

/// A measurement over the ranks of a world, all of them at work at once.
public struct Measurement {
    let world: Communicator
    let watch: Stopwatch

    /// - Parameter seconds: for which each operation is repeated.
    public init(world: Communicator, seconds: Double) {
        self.world = world
        watch = Stopwatch(world: world, patience: seconds)
    }

    /// Measures everything; the same result on every rank.
    /// - Parameter directory: where files are written and read.
    public func run(directory: String) throws -> MachineProfile {
        var rates = MachineProfile.Rates()
        try measureArithmetic(&rates)
        try measureSolving(&rates)
        try measureMessages(&rates)
        try measureDisk(directory, &rates)
        return MachineProfile(
            processor: Platform.processor, ranks: world.size, hosts: Set(world.nodes).count, threads: Threads.count, multipliesBFloat16: BFloat16.isAccelerated,
            rates: rates)
    }
}
