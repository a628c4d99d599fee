// How wide a recipe may say that codes are.

/// What `bits` may say.
enum CodeWidth {
    case bits(Int)
    /// As much as `type: ternary`.
    case ternary
}
