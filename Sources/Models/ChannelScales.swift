// How much channels are scaled, as the weights that read them say.

internal import Synchronization
internal import Transformers

/// The factors of a model's channels, the same on every rank.
///
/// A channel's factor is the root mean square of the columns that read it, over all rows of their linears, each linear's numbers in units of their own root mean square; divided
/// by the geometric mean of all channels of the group, and rounded to an eighth of an octave, so that a byte holds it.
struct ChannelScales: Sendable {
    /// Of each group by its name, and channel: eighths of an octave.
    let steps: [String: [Int8]]
    static let stepsOfOctave = 8.0
    /// 2^(k / 8): numbers, so that no other library's rounding changes them.
    private static let parts = [
        1, 1.0905077326652577, 1.189207115002721, 1.2968395546510096, 1.4142135623730951, 1.5422108254079407, 1.681792830507429, 1.8340080864093424,
    ]

    subscript(channels: Channels) -> [Double] {
        guard let steps = steps[channels.name] else { preconditionFailure("\(channels.name) has no factors") }
        return steps.map { Self.parts[Int($0) & 7] * Double(sign: .plus, exponent: Int($0) >> 3, significand: 1) }
    }
}

/// The factors of a model, nil until they are measured. All copies of its tensors have the same ones.
final class MeasuredChannels: Sendable {
    private let found = Mutex<ChannelScales?>(nil)

    var scales: ChannelScales? {
        get { found.withLock { $0 } }
        set { found.withLock { $0 = newValue } }
    }
}
