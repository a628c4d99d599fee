// How fast ranks add up and copy: the messages of a Hessian's reduction and of a factor's broadcast.

internal import MessagePassing
internal import Sharding

extension Measurement {
    /// Bytes of a message, as large as a band of a Hessian.
    private static let messageBytes = 32 << 20

    func measureMessages(_ rates: inout MachineProfile.Rates) throws {
        guard world.size > 1 else { return }
        var one = [0]
        rates.latency = try watch.seconds { try world.allReduceSum(&one) }
        var sums = [Double](repeating: 1, count: Self.messageBytes / 8)
        rates.reduce = Double(Self.messageBytes) / (try watch.seconds { try sums.withUnsafeMutableBufferPointer { try world.reduceSum($0, to: 0) } })
        var copies = [Float](repeating: 1, count: Self.messageBytes / 4)
        rates.broadcast = Double(Self.messageBytes) / (try watch.seconds { try copies.withUnsafeMutableBufferPointer { try world.broadcast($0, from: 0) } })
    }
}
