// SpQR's format, as spqr_quant's kernel and transformers' quantizer take it.

internal import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// Per linear: dense_weights [rows columns / 16] I64, the words of `SpQRLayout`; row_offsets [rows + 1] I32, where each row's outliers begin, and the end;
/// col_vals [outliers] I32, each the half-precision number that is added, above its 16-bit column; in_perm [columns / 2] I32, the original columns of those of the
/// file as pairs of 16 bits, or [0] where they stand as they are. Linears that hold values are plain tensors.
///
/// How many outliers there are follows from the weights, so that sizes are known when all tiles are solved.
///
/// Source: spqr_quant 0.2.0, `inference.py`, `sparse_util.py`; transformers 5.24, `integrations/spqr.py`, `SpQRConfig`.
public struct SpQRFormat: WeightFormat {
    public init() {}

    /// transformers' quantizer refuses any other.
    public let computeType: String? = "float16"

    public func refusal(_ linear: PackedLinear) -> String? {
        if linear.holdsValues { return nil }
        let options = linear.options, side = SpQRLayout.side
        if options.number != .spqr { return "it has codes of `method: spqr` alone; use that, or another format" }
        if options.bits != SpQRLayout.bits || options.group != side {
            return
                "it has \(SpQRLayout.bits) bits in groups of \(side) columns, not \(options.bits) in groups of \(options.group); leave out `bits` and `group`, or use "
                + "`format: dense`"
        }
        if linear.isTransposed { return "its weight is stored transposed; use `format: dense`" }
        if linear.columns % side != 0 || linear.rows % side != 0 {
            return "its tiles of \(side) x \(side) do not fit the shape [\(linear.rows), \(linear.columns)]; name it under `ignore`, or use `format: dense`"
        }
        if linear.columns > SpQRLayout.mostColumns {
            return "it counts columns up to \(SpQRLayout.mostColumns), and there are \(linear.columns); name it under `ignore`, or use `format: dense`"
        }
        return nil
    }

    /// Share of outliers, where they are not yet known: about what the paper finds (section 5).
    private static let expectedShare = 0.01

    private func outliers(_ linear: PackedLinear) -> Int { linear.entries ?? Int(Double(linear.rows * linear.columns) * Self.expectedShare) }

    /// The only dimension of each tensor, by its suffix.
    private func lengths(_ linear: PackedLinear) -> [(suffix: String, type: ElementType, count: Int)] {
        [
            (".dense_weights", .i64, linear.rows * linear.columns / SpQRLayout.side), (".row_offsets", .i32, linear.rows + 1),
            (".col_vals", .i32, outliers(linear)), (".in_perm", .i32, linear.options.hasPermutedGroups ? linear.columns / 2 : 0),
        ]
    }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        if linear.holdsValues { return try DenseFormat().tensors(linear) }
        guard outliers(linear) <= Int32.max else {
            throw PackingError(
                "\(linear.name) has \(outliers(linear)) outliers, and \(linear.name).row_offsets counts them in 32 bits, up to \(Int32.max); give a larger "
                    + "`outlier_threshold`, or `format: dense`")
        }
        return try lengths(linear).map { try TensorDescription(name: linear.name + $0.suffix, type: $0.type, shape: [$0.count]) }
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        if linear.holdsValues { return try DenseFormat().write(tensor, of: linear, tile: tile, to: sink) }
        let suffix = tensor.dropFirst(linear.name.count)
        if suffix == ".in_perm", !linear.options.hasPermutedGroups { return }
        var first = 0
        for index in 0..<linear.tileCount {
            let tile = try tile(index), order = Self.order(tile)
            switch suffix {
            case ".dense_weights": try writeWords(tile.decoded(), order, to: sink)
            case ".row_offsets": try tile.writeOffsets(from: &first, isFirst: index == 0, to: sink)
            case ".col_vals": try writeOutliers(tile.decoded(), order, to: sink)
            case ".in_perm": return try writeOrder(order, to: sink)
            default: preconditionFailure("\(tensor) is no tensor of \(linear.name)")
            }
        }
    }

    /// The original columns of those of the file: group by group.
    private static func order(_ tile: EncodedTile) -> [Int] {
        guard let groups = tile.groupOfColumn else { return Array(0..<tile.layout.columns) }
        return groups.indices.sorted { (groups[$0], $0) < (groups[$1], $1) }
    }

    private func writeWords(_ tile: QuantizedTile, _ order: [Int], to sink: TensorSink) throws {
        guard let spqr = tile.spqr else { preconditionFailure("codes of another method") }
        let codes = Matrix<UInt8>(uninitialized: tile.codes.rows, order.count)
        for row in 0..<codes.rows { for (place, column) in order.enumerated() { codes[row, place] = tile.codes[row, column] } }
        try SpQRLayout.pack(codes, spqr).withUnsafeBytes(sink)
    }

    private func writeOutliers(_ tile: QuantizedTile, _ order: [Int], to sink: TensorSink) throws {
        guard let outliers = tile.spqr?.outliers else { preconditionFailure("codes of another method") }
        var words: [UInt32] = []
        for row in 0..<outliers.rows {
            for (place, column) in order.enumerated() where outliers[row, column] & 0x7fff != 0 {
                words.append((UInt32(outliers[row, column]) << 16 | UInt32(place)).littleEndian)
            }
        }
        try words.withUnsafeBytes(sink)
    }

    private func writeOrder(_ order: [Int], to sink: TensorSink) throws {
        try order.map { UInt16($0).littleEndian }.withUnsafeBytes(sink)
    }

    /// Clients make no tensor whose shape is not here, and take every linear for compressed that is not among those to be left alone: by pattern or name in
    /// transformers 5, by the name of its weight in transformers 4.
    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? {
        let compressed = linears.filter { !$0.holdsValues }
        guard !compressed.isEmpty else { return nil }
        let shapes = compressed.flatMap { linear in lengths(linear).map { (key: linear.name + $0.suffix + ".shape", value: JSONValue.integer($0.count)) } }
        let plain = self.ignored(linears, ignored).flatMap { $0.hasPrefix("re:") ? [String($0.dropFirst(3))] : [$0, $0 + ".weight"] }
        return .object([
            (key: "quant_method", value: .string("spqr")), (key: "bits", value: 3), (key: "beta1", value: 16), (key: "beta2", value: 16),
            (key: "shapes", value: .object(shapes)),
            (key: "modules_to_not_convert", value: .array(plain.map { .string($0) })),
        ])
    }
}
