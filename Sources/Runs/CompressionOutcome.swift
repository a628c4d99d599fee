// What a run of compression has to say when its tiles are committed.

public import Reporting

/// What became of each linear, how many tiles were solved and reused, and how tokens fell to experts.
public struct CompressionOutcome: Sendable {
    public let linears: [LinearReport]
    public let tiles: TileCounts
    public let mixtures: [MixtureReport]
}
