// What `equalize` does before a run: channels are measured by the weights that read them.

internal import Recipes
internal import Transformers

/// The channels that are measured, and the weights that are read once for it, by all ranks together.
public struct ChannelMeasurement: Sendable {
    public let channels: Int
    public let weights: Int

    /// - Returns: nil where nothing is measured.
    init?(_ architecture: Architecture, _ equivalence: Equivalence?) {
        guard let equivalence, equivalence.equalizes, let found = try? EquivalentArchitecture(architecture, equivalence), !found.channels.isEmpty else {
            return nil
        }
        channels = found.channels.reduce(0) { $0 + $1.count }
        weights = found.channels.reduce(0) { sum, channels in sum + channels.readers.reduce(0) { $0 + $1.rows * $1.columns } }
    }
}
