// How much longer a text may become as a tokenizer rewrites it.

/// The limit of every step that rewrites text.
enum TextLimit {
    /// The largest text that may come of one of `count` bytes. No known tokenizer comes near it, and replacements of replacements would
    /// fill any memory.
    static func bytes(from count: Int) -> Int { (1 << 16) + 64 * count }
}
