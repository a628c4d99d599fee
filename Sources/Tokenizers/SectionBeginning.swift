// Where a stretch of text begins: what a tokenizer puts before a text or a section depends on it.

/// What the first byte of a stretch of text begins.
enum SectionBeginning {
    /// The whole text.
    case ofText
    /// What lies behind an added token.
    case ofSection
    /// Nothing: it goes on with what came before.
    case inside
}
