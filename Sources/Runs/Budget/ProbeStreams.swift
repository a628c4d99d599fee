// The windows of probes on their way through the model, as one rank holds them.

internal import Calibration
internal import Checkpoints
internal import MessagePassing
internal import Sharding
internal import Transformers

/// A window that passes the model.
struct ProbeStream: Hashable {
    var window: Int
    /// The unit that is compressed, by its place among those that are probed; nil: the model as it is.
    var unit: Int?
}

/// The windows of this rank: of each the state of the model as it is, and behind it those of its units, which join when a block of theirs begins.
final class ProbeStreams {
    let probes: Probes
    private let units: [BudgetUnit]
    private let rank: Int
    private var states: [ProbeStream: BatchState] = [:]

    /// - Parameter embed: makes the state of a window.
    init(_ probes: Probes, _ units: [BudgetUnit], rank: Int, embed: (Int) throws -> BatchState) rethrows {
        (self.probes, self.units, self.rank) = (probes, units, rank)
        for share in probes.shares(of: rank) { states[ProbeStream(window: share.window, unit: nil)] = try embed(share.window) }
    }

    /// Those of a rank at a block, in order.
    func streams(of other: Int? = nil, at block: Int) -> [ProbeStream] {
        probes.shares(of: other ?? rank).flatMap { share in
            [ProbeStream(window: share.window, unit: nil)]
                + share.units.filter { units[$0].block <= block }.map { ProbeStream(window: share.window, unit: $0) }
        }
    }

    /// Lets the units of a block join: their states are those of the model as it is.
    func begin(block: Int) {
        for stream in streams(at: block) where stream.unit.map({ units[$0].block == block }) ?? false {
            states[stream] = self[ProbeStream(window: stream.window, unit: nil)].copy()
        }
    }

    /// Whether a stage of a block has its compressed weights.
    func isCompressed(_ stream: ProbeStream, block: Int, stage: Int) -> Bool {
        stream.unit.map { units[$0].block == block && units[$0].stages.contains(stage) } ?? false
    }

    subscript(stream: ProbeStream) -> BatchState {
        get {
            guard let state = states[stream] else { preconditionFailure("\(stream) is not here") }
            return state
        }
        set { states[stream] = newValue }
    }
}

/// Some of the streams as batches, for a mixture of experts.
final class ProbeBatches: BatchStorage {
    private let streams: ProbeStreams
    private let own: [ProbeStream]
    let keepsInputs = true

    init(_ streams: ProbeStreams, _ own: [ProbeStream]) { (self.streams, self.own) = (streams, own) }

    func load(_ batch: Int) throws -> BatchState { streams[own[batch]] }
    func store(_ state: BatchState, _ batch: Int) throws { streams[own[batch]] = state }
}
