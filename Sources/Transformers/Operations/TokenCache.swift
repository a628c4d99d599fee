// What servers keep of earlier tokens.

/// What a server keeps of each token for later ones, by operation.
public enum TokenCache: Sendable, Hashable {
    /// Nothing, or a state of constant size.
    case nothing
    /// The keys and values of so many heads, as attention multiplies them: normalised, cut and rotated.
    case heads(Int)
    /// A vector from which keys and values are made.
    case latent
}
