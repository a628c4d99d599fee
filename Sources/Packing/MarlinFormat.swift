// Marlin's format: 4-bit codes in the order of its kernel.

internal import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// Per linear: B [columns / 16, 2 rows] I32, s [groups, rows] F16. Linears that hold values are plain tensors.
///
/// Source: marlin, `marlin/__init__.py`; the keys of config.json are those with which AutoGPTQ and vLLM tell it from GPTQ's own format.
public struct MarlinFormat: WeightFormat {
    public init() {}

    public func refusal(_ linear: PackedLinear) -> String? {
        if linear.holdsValues { return nil }
        let options = linear.options
        let instead = "use `format: gptq` or `format: compressed-tensors`"
        if options.number == .ternary { return "Marlin has integers alone, and no ternary numbers; use `format: qmoe` or `format: dense`" }
        if options.number == .spqr { return "Marlin has symmetric codes, and no outliers; use `format: spqr` or `format: dense`" }
        if options.number != .int { return "Marlin has integers alone, and none of `type: \(options.number.rawValue)`; use `format: compressed-tensors`" }
        if options.activations != .none {
            return "Marlin says nothing of inputs in \(options.activationType.rawValue); use `format: compressed-tensors`, or `format: dense`"
        }
        if linear.bits != 4 || !options.symmetric { return "Marlin has symmetric codes of 4 bits; \(instead)" }
        if linear.group != -1 && linear.group != 128 { return "Marlin has groups of 128 columns or whole rows (-1), not of \(linear.group); \(instead)" }
        if options.hasPermutedGroups { return "Marlin has no groups of permuted columns; use `act_order: groups`, `static_groups: true`, or `format: gptq`" }
        if linear.columns % 128 != 0 || linear.rows % 256 != 0 {
            return
                "Marlin's tiles need columns in multiples of 128 and rows in multiples of 256, and its shape is [\(linear.rows), \(linear.columns)]; \(instead)"
        }
        return nil
    }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        if linear.holdsValues { return try DenseFormat().tensors(linear) }
        return [
            try TensorDescription(name: linear.name + ".B", type: .i32, shape: [linear.columns / 16, 2 * linear.rows]),
            try TensorDescription(name: linear.name + ".s", type: .f16, shape: [linear.groups, linear.rows]),
        ]
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        if linear.holdsValues { return try DenseFormat().write(tensor, of: linear, tile: tile, to: sink) }
        switch tensor.dropFirst(linear.name.count) {
        case ".B":
            let words = Matrix<UInt32>(repeating: 0, linear.columns / Marlin.tile, 2 * linear.rows)
            try forEachTile(linear, tile) { tile, rows in place(tile.decoded().codes, rows, into: words) }
            for index in 0..<words.count { words.base[index] = words.base[index].littleEndian }
            try words.withBytes { try sink(UnsafeRawBufferPointer($0)) }
        case ".s":
            let scales = Matrix<Float>(uninitialized: linear.rows, linear.groups)
            try forEachTile(linear, tile) { tile, rows in scales.rows(rows).assign(tile.scales()) }
            let order = Marlin.scaleOrder(groups: linear.groups)
            let plain = scales.transposed(), ordered = Matrix<Float>(uninitialized: linear.groups, linear.rows)
            for start in stride(from: 0, to: plain.count, by: order.count) {
                for (place, scale) in order.enumerated() { ordered.base[start + place] = plain.base[start + scale] }
            }
            try withExtendedLifetime(plain) { try writeNumbers(ordered, as: .f16, to: sink) }
        default: preconditionFailure("\(tensor) is no tensor of \(linear.name)")
        }
    }

    /// codes: [rows.count, columns] -> words: [columns / 16, 2 * all rows]
    private func place(_ codes: Matrix<UInt8>, _ rows: Range<Int>, into words: Matrix<UInt32>) {
        let places = Marlin.placeOfCode
        for (position, row) in rows.enumerated() {
            let source = codes.row(position)
            let inRun = row % Marlin.run, start = row / Marlin.run * 128
            for column in 0..<codes.columns {
                let place = places[inRun / Marlin.tile * 256 + column % Marlin.tile * Marlin.tile + inRun % Marlin.tile]
                words.row(column / Marlin.tile)[start + place / 8] |= UInt32(source[column]) << UInt32(place % 8 * 4)
            }
        }
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? {
        GPTQConfiguration.object(linears.filter { !$0.holdsValues }, ignored: self.ignored(linears, ignored), checkpointFormat: "marlin")
    }

    public func companions(_ linears: [PackedLinear], ignored: [String]) throws -> [(name: String, text: String)] {
        guard let value = try configuration(linears, ignored: ignored) else { return [] }
        return [("quantize_config.json", value.text())]
    }
}
