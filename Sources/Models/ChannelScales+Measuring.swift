// The factors of channels, measured by the weights that read them.

internal import Failures
internal import Glibc
internal import LinearAlgebra
internal import MessagePassing
internal import Safetensors
internal import Transformers

extension ChannelScales {
    /// Every rank reads some groups' weights, once. Collective.
    ///
    /// - Parameter channels: the same on every rank.
    init(_ channels: [Channels], _ tensors: SourceTensors, _ checkpoint: Checkpoint, world: Communicator) throws {
        let parameters = CheckpointParameters(checkpoint: checkpoint, tensors: tensors)
        let owned = (0..<world.size).map { rank in channels.indices.filter { $0 % world.size == rank } }
        let own = try world.together(exitCode: exitCode) { try owned[world.rank].map { try Self.measure(channels[$0], parameters) } }
        var steps: [String: [Int8]] = [:]
        for rank in 0..<world.size {
            let groups = owned[rank].map { channels[$0] }
            let mine = rank == world.rank ? own.flatMap { $0.map(UInt8.init(bitPattern:)) } : [UInt8](repeating: 0, count: groups.reduce(0) { $0 + $1.count })
            var bytes = try world.broadcast(mine, from: rank)[...]
            for group in groups {
                steps[group.name] = bytes.prefix(group.count).map(Int8.init(bitPattern:))
                bytes = bytes.dropFirst(group.count)
            }
        }
        self.init(steps: steps)
    }

    /// The steps of a group. Columns without a number but zero have none.
    private static func measure(_ channels: Channels, _ parameters: CheckpointParameters) throws -> [Int8] {
        var means = [Double](repeating: 0, count: channels.count)
        for linear in channels.readers {
            let squares = try columnSquares(linear, parameters)
            let mean = squares.reduce(0, +) / Double(linear.columns)
            guard mean > 0 else { continue }
            for column in squares.indices { means[channels.channel(ofColumn: column)] += squares[column] / mean * Double(linear.rows) }
        }
        let octaves = means.map { $0 > 0 ? log2($0) / 2 : nil }
        let known = octaves.compactMap { $0 }
        let center = known.reduce(0, +) / Double(max(known.count, 1))
        return octaves.map { octave in
            octave.map { Int8(max(-127, min(127, (($0 - center) * stepsOfOctave).rounded()))) } ?? 0
        }
    }

    /// The sum of w^2 of each column, rows one after the other.
    private static func columnSquares(_ linear: Linear, _ parameters: CheckpointParameters) throws -> [Double] {
        let rowsAtOnce = max(1, numbersAtOnce / linear.columns)
        var sums = [Double](repeating: 0, count: linear.columns)
        for rows in (0..<linear.rows).cut(every: rowsAtOnce) {
            let weights = Matrix<Float>(uninitialized: rows.count, linear.columns)
            try parameters.rows(of: linear, rows, into: weights)
            let parts = (0..<linear.columns).cut(every: columnsAtOnce)
            let (before, found) = (sums, parts)
            sums = parallelMap(found.count) { part in
                var own = Array(before[found[part]])
                for row in 0..<weights.rows {
                    let values = weights.row(row) + found[part].lowerBound
                    for column in own.indices { own[column] += Double(values[column]) * Double(values[column]) }
                }
                return own
            }.flatMap { $0 }
        }
        return sums
    }

    /// Numbers of a weight that are read at once, and columns that one thread sums.
    private static let numbersAtOnce = 1 << 20
    private static let columnsAtOnce = 256
}
