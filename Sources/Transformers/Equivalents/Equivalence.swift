// What a user asks for when another model of the same function is to be compressed.

/// Changes of a model's weights that leave its function as it is, and that lose less when the weights are compressed.
public struct Equivalence: Sendable, Hashable {
    public var rotation: WeightRotation?
    /// Whether the columns of linears are scaled to one size, and what makes their inputs the other way (Nagel et al. 2019, "Data-Free Quantization Through Weight
    /// Equalization and Bias Correction", section 4.1).
    public var equalizes: Bool

    /// - Returns: nil where nothing is changed.
    public init?(rotation: WeightRotation? = nil, equalizes: Bool = false) {
        guard rotation != nil || equalizes else { return nil }
        (self.rotation, self.equalizes) = (rotation, equalizes)
    }

    /// The recipe's keys that ask for it, for messages.
    public var keys: String { [rotation.map { _ in "`rotate`" }, equalizes ? "`equalize`" : nil].compactMap { $0 }.joined(separator: " and ") }
}
