// Where the parts of an encoded tile lie.

public import Compression

/// The parts of an encoded tile; they follow from its shape and options alone, so messages need no headers.
public struct TileLayout: Sendable, Equatable {
    public let rows: Int
    public let columns: Int
    public let content: TileContent
    /// nil: nothing is pruned.
    public let pruning: PruningOptions?

    public init(rows: Int, columns: Int, content: TileContent, pruning: PruningOptions? = nil) {
        self.rows = rows
        self.columns = columns
        self.content = content
        self.pruning = pruning
    }

    /// A tile of codes.
    public init(rows: Int, columns: Int, options: QuantizationOptions) {
        self.init(rows: rows, columns: columns, content: .codes(options))
    }

    /// Whether the tile holds weights themselves, which have no quantization options.
    public var holdsValues: Bool { valueType != nil }

    /// The type of the values; nil for codes.
    var valueType: ScaleType? {
        if case .values(let type) = content { type } else { nil }
    }

    /// Of a tile of codes.
    public var options: QuantizationOptions {
        guard case .codes(let options) = content else { preconditionFailure("a tile of values has no quantization options") }
        return options
    }

    /// 0 for values, as with all that codes alone have.
    public var groups: Int { holdsValues ? 0 : options.groupCount(columns: columns) }
    /// 32-bit words of a row's codes; 0 of blocks.
    public var wordsPerRow: Int { holdsValues || blocks != nil ? 0 : BitStream.wordCount(columns, bits: options.bits) }

    /// The rules of blocks, which hold codes and scales together; nil for other types, and for values.
    var blocks: BlockRules? { holdsValues ? nil : options.number.blocks }
    /// Bytes of a row's blocks; 0 for other types.
    public var blockBytesPerRow: Int { blocks?.rowBytes(columns: columns) ?? 0 }

    /// The parts, one after the other, each beginning at a multiple of 8 bytes. Blocks are what GGUF has in its files, row after row.
    public var codes: Range<Int> { 0..<rows * (blockBytesPerRow + wordsPerRow * 4) }
    /// [rows, columns] in their type; empty when the tile holds codes.
    public var values: Range<Int> { after(codes, valueType.map { rows * columns * ($0 == .f32 ? 4 : 2) } ?? 0) }
    /// Of ternary rows two numbers each; none of SpQR.
    public var scales: Range<Int> { after(values, blocks == nil && !isSpQR ? rows * numbersPerRow * MemoryLayout<Float>.size : 0) }
    /// Numbers of a row beside its codes.
    var numbersPerRow: Int { holdsValues ? 0 : groups * options.number.numbersOfGroup }
    /// Empty when symmetric, and of SpQR.
    public var zeros: Range<Int> { after(scales, holdsValues || options.symmetric || isSpQR ? 0 : rows * groups) }
    /// Empty unless groups are made of permuted columns.
    public var groupOfColumn: Range<Int> { after(zeros, !holdsValues && options.hasPermutedGroups ? columns * 4 : 0) }
    /// The loss of all rows; loss and energy of those whose energy was measured.
    public var losses: Range<Int> { after(groupOfColumn, 3 * MemoryLayout<Double>.size) }
    /// The number of scales that were clamped to their type; empty for values.
    public var clampedScales: Range<Int> { after(losses, holdsValues ? 0 : MemoryLayout<Int>.size) }
    /// The number by which the stored scales of the whole linear are divided; empty for types without one.
    public var divisor: Range<Int> { after(clampedScales, !holdsValues && options.hasDivisor ? MemoryLayout<Float>.size : 0) }
    /// Of the comparisons that go through all rows of the linear: with them any tile can be solved again by itself.
    public var thresholds: Range<Int> { after(divisor, (pruning?.comparisons(columns: columns).count ?? 0) * MemoryLayout<Float>.size) }
    /// The number of weights that are zero; empty unless the tile was pruned, or is ternary.
    public var zeroCount: Range<Int> { after(thresholds, pruning == nil && !isTernary ? 0 : MemoryLayout<Int>.size) }
    /// The number of each row's entries in tensors that are as long as the weights make them, in UInt32: QMoE's codewords, SpQR's outliers.
    public var entryCounts: Range<Int> { after(zeroCount, isTernary || isSpQR ? rows * MemoryLayout<UInt32>.size : 0) }
    /// The largest magnitude of the linear's inputs; empty where no scale of them is stored.
    public var inputMagnitude: Range<Int> { after(entryCounts, !holdsValues && options.activations == .static ? MemoryLayout<Float>.size : 0) }
    public var byteCount: Int { isSpQR ? outliers.upperBound : inputMagnitude.upperBound }

    var isTernary: Bool { !holdsValues && options.number == .ternary }
    var isSpQR: Bool { !holdsValues && options.number == .spqr }

    /// Of SpQR, the codes of scales, then those of zero points: [rows, groups] each.
    public var levels: Range<Int> { after(inputMagnitude, isSpQR ? 2 * rows * groups : 0) }
    /// Of SpQR, steps and zero points of scales, then those of zero points, in half precision: [blocks of rows, groups] each.
    public var secondLevels: Range<Int> { after(levels, isSpQR ? 4 * SpQRScales.blocks(rows: rows) * groups * 2 : 0) }
    /// Of SpQR, in half precision, 0 where there is none: [rows, columns]
    public var outliers: Range<Int> { after(secondLevels, isSpQR ? rows * columns * 2 : 0) }

    private func after(_ part: Range<Int>, _ length: Int) -> Range<Int> {
        let start = (part.upperBound + 7) / 8 * 8
        return start..<start + length
    }
}
