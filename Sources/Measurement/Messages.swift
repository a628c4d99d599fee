// How fast ranks add up, copy and exchange: the sums of a Hessian's panels, the copies of a factor's, and tokens, in a host's memory and between hosts.

internal import MessagePassing
internal import Sharding

extension Measurement {
    /// Bytes of a message, as large as a band of a Hessian.
    private static let messageBytes = 32 << 20
    /// Bytes of a message between two ranks, as large as a step of an expert's tokens.
    private static let exchangedBytes = 4 << 20
    /// Bytes that a host's ranks share while they sum.
    private static let sharedBytes = 16 << 20

    func measureMessages(_ rates: inout MachineProfile.Rates) throws {
        guard world.size > 1 else { return }
        var one = [0]
        rates.latency = try watch.seconds { try world.allReduceSum(&one) }
        rates.exchange = try exchangeRate()
        let all = try NodeGroups(world), host = try NodeGroups(all.own)
        let copied = Double(Self.messageBytes), summed = Double(Self.sums(all) * Numbers.byteCount)
        let (sum, copy) = (try sumSeconds(all, count: Self.sums(all)), try copySeconds(all))
        guard all.mostRanks > 1 else {
            (rates.reduce, rates.broadcast) = (summed / sum, copied / copy)
            return
        }
        let (sumInHost, copyInHost) = (try sumSeconds(host, count: Self.sums(all)), try copySeconds(host))
        (rates.reduceInHost, rates.broadcastInHost) = (summed / sumInHost, copied / copyInHost)
        guard all.count > 1 else { return }
        // What is left of the whole way; more than a tenth of it, whatever the noise of two measurements.
        rates.reduce = summed / max(sum - sumInHost, 0.1 * sum)
        rates.broadcast = copied / max(copy - copyInHost, 0.1 * copy)
    }

    /// Sums that make a message, or one to each rank where that is more.
    private static func sums(_ groups: NodeGroups) -> Int { max(messageBytes / Numbers.byteCount, groups.world.size) }

    /// Seconds of some sums to the ranks in turn.
    private func sumSeconds(_ groups: NodeGroups, count: Int) throws -> Double {
        let sum = try NodeSum(groups, byteCount: Self.sharedBytes, atOnce: Plan.sumsAtOnce), numbers = Numbers()
        return try watch.seconds { try sum.add((0..<count).map { $0 % groups.world.size }) { _ in numbers } }
    }

    /// Bytes a second of this rank to ranks of other hosts, or of its own where there is no other, while all ranks send to all.
    private func exchangeRate() throws -> Double {
        let sent = [UInt8](repeating: 1, count: Self.exchangedBytes)
        var received = sent
        let seconds = try watch.seconds {
            for distance in 1..<world.size {
                let (next, last) = ((world.rank + distance) % world.size, (world.rank + world.size - distance) % world.size)
                try sent.withUnsafeBufferPointer { sent in
                    try received.withUnsafeMutableBufferPointer { try world.exchange(sent, to: next, $0, from: last) }
                }
            }
        }
        let own = world.nodes.count { $0 == world.nodes[world.rank] }
        return Double((own == world.size ? own - 1 : world.size - own) * Self.exchangedBytes) / seconds
    }

    private func copySeconds(_ groups: NodeGroups) throws -> Double {
        var copies = [Float](repeating: 1, count: Self.messageBytes / 4)
        return try watch.seconds { try copies.withUnsafeMutableBufferPointer { try groups.broadcast($0, from: 0) } }
    }
}

/// Rows that a rank adds to a sum which nobody keeps.
private final class Numbers: Summand {
    private static let (rows, columns) = (128, 1024)
    static let byteCount = rows * columns * MemoryLayout<Double>.stride

    let isOfNode = false
    let starts = (0...rows).map { $0 * columns }
    private let values = [Double](repeating: 1, count: rows * columns)

    func add(_ rows: Range<Int>, to values: UnsafeMutablePointer<Double>, isFirst: Bool) {
        let (first, count) = (starts[rows.lowerBound], starts[rows.upperBound] - starts[rows.lowerBound])
        self.values.withUnsafeBufferPointer { own in
            for index in 0..<count { values[index] = isFirst ? own[first + index] : values[index] + own[first + index] }
        }
    }

    func take(_ rows: Range<Int>, _ sums: UnsafeMutablePointer<Double>) {}
}
