// What a kind of attention gives to the blocks of a family of gated decoders.

/// The half of a block that is attention: from a norm of the residual stream to an addition to it.
protocol AttentionHalf {
    /// - Parameters:
    ///   - block: its name.
    ///   - addition: what becomes of the output.
    ///   - index: of the block.
    func stages(_ block: String, input: StageInput, output addition: Addition, index: Int) -> [Stage]
}
