// What every on-disk format does: names its tensors, streams their bytes from tiles, and completes config.json.

public import Compression
public import JSON
public import Safetensors

/// A compressed linear as formats see it.
public struct PackedLinear: Sendable {
    /// Tensor name without `.weight`.
    public let name: String
    /// Other names that clients have for it, in config.json beside its own.
    public let otherNames: [String]
    /// The type of the weight in the source checkpoint: dequantized weights are stored in it, and scales where the format has no type of its own.
    public let sourceType: ElementType
    /// True when the source stores [columns, rows] (GPT-2's Conv1D).
    public let isTransposed: Bool
    public let rows: Int
    /// The first of its tiles; the others differ in their rows alone, and only the last has fewer.
    private let tile: TileLayout
    public let tileCount: Int
    /// How rows are ordered in a GGUF file; nil: as they are.
    public let pairing: RowPairing?
    /// Of tensors that are as long as the weights make them, all entries of the linear: QMoE's codewords, SpQR's outliers; nil: not yet known.
    public let entries: Int?

    /// - Parameters:
    ///   - tile: the layout of the first.
    ///   - tileCount: of all that have the rows.
    ///   - entries: of all rows, where the format's tensors follow from them.
    public init(
        name: String, otherNames: [String] = [], sourceType: ElementType, isTransposed: Bool, rows: Int, tile: TileLayout, tileCount: Int,
        pairing: RowPairing? = nil, entries: Int? = nil
    ) {
        precondition(tileCount > 0, "\(name) has no tiles")
        self.name = name
        self.otherNames = otherNames
        self.sourceType = sourceType
        self.isTransposed = isTransposed
        self.rows = rows
        self.tile = tile
        self.tileCount = tileCount
        self.pairing = pairing
        self.entries = entries
    }

    public var columns: Int { tile.columns }
    /// The rows of a tile.
    public func rows(ofTile index: Int) -> Range<Int> { (index * tile.rows..<(index + 1) * tile.rows).clamped(to: 0..<rows) }
    /// Bytes of a row of a type of blocks.
    public var blockBytesPerRow: Int { tile.blockBytesPerRow }
    /// Whether it is stored as weights themselves (pruned, not quantized): without bits, groups or quantization options.
    public var holdsValues: Bool { tile.holdsValues }
    public var options: QuantizationOptions { tile.options }
    public var bits: Int { options.bits }
    public var group: Int { options.group }
    public var groups: Int { tile.groups }
}

/// Receives the bytes of a tensor, piece by piece.
public typealias TensorSink = (UnsafeRawBufferPointer) throws -> Void

/// An on-disk format of compressed linears. Those that hold values stand beside the others as plain `<name>.weight` tensors.
public protocol WeightFormat: Sendable {
    /// Why this format, or the clients that read it, cannot carry a linear; nil when they can.
    func refusal(_ linear: PackedLinear) -> String?

    /// The tensors that take the place of `<name>.weight`: codes, scales, and what else there is.
    func tensors(_ linear: PackedLinear) throws -> [TensorDescription]

    /// Streams one of these tensors.
    ///
    /// - Parameters:
    ///   - tensor: a name out of `tensors(_:)`.
    ///   - tile: the encoded tile of an index; tiles are asked for in the order of their rows.
    func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws

    /// The `quantization_config` of config.json; nil when clients need none.
    ///
    /// - Parameters:
    ///   - linears: the compressed linears.
    ///   - ignored: names of the modules that clients would otherwise take for compressed; after `re:` a pattern of such names.
    func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue?

    /// What config.json must say of the type in which clients compute, where they take one alone; nil: what the source's says.
    var computeType: String? { get }

    /// Other files beside config.json in which clients look for the same.
    func companions(_ linears: [PackedLinear], ignored: [String]) throws -> [(name: String, text: String)]
}

extension WeightFormat {
    public var computeType: String? { nil }

    public func companions(_ linears: [PackedLinear], ignored: [String]) throws -> [(name: String, text: String)] { [] }
}

extension WeightFormat {
    /// `ignored` with the linears that hold values, of which the caller may have named some in their place.
    func ignored(_ linears: [PackedLinear], _ ignored: [String]) -> [String] {
        let known = Set(ignored)
        return linears.filter { $0.holdsValues && !known.contains($0.name) }.flatMap { [$0.name] + $0.otherNames } + ignored
    }
}
