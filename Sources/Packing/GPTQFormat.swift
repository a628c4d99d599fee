// GPTQ's format in both of its versions, as GPTQModel, transformers (through optimum) and vLLM load it.

internal import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// How a file of GPTQ's format stores zero points.
public enum ZeroPoints: Sendable {
    /// One less than they are: `gptq`, the first version.
    case lessOne
    /// As they are: `gptq_v2`.
    case plain
}

/// Per linear: qweight [columns in words, rows] I32, scales [groups, rows] F16, g_idx [columns] I32, qzeros [groups, words of rows] I32.
///
/// Every row's codes are one bit stream, which runs down a column of qweight; a group's zero points are one along a row of qzeros.
/// Linears that hold values are plain tensors.
///
/// Source: AutoGPTQ, `nn_modules/qlinear/qlinear_cuda.py`; GPTQModel, `nn_modules/qlinear/__init__.py` and `utils/model.py`.
public struct GPTQFormat: WeightFormat {
    private let zeroPoints: ZeroPoints

    public init(zeroPoints: ZeroPoints) {
        self.zeroPoints = zeroPoints
    }

    private var checkpointFormat: String { zeroPoints == .plain ? "gptq_v2" : "gptq" }

    public func refusal(_ linear: PackedLinear) -> String? {
        if linear.holdsValues { return nil }
        let number = linear.options.number
        if number == .ternary { return "it has codes of integers alone, and no ternary numbers; use `format: qmoe` or `format: dense`" }
        if number == .spqr { return "it has one zero point for each scale, and no outliers; use `format: spqr` or `format: dense`" }
        if number != .int { return "it has codes of integers alone, and none of `type: \(number.rawValue)`; use `format: compressed-tensors`" }
        if linear.options.activations != .none {
            return "it says nothing of inputs in \(linear.options.activationType.rawValue); use `format: compressed-tensors`, or `format: dense`"
        }
        if linear.columns % 32 != 0 || linear.rows % 32 != 0 {
            return "its shape [\(linear.rows), \(linear.columns)] is not made of multiples of 32, which GPTQ's words need; "
                + "use `format: compressed-tensors` or `format: dense`"
        }
        return nil
    }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        if linear.holdsValues { return try DenseFormat().tensors(linear) }
        return [
            try TensorDescription(
                name: linear.name + ".qweight", type: .i32, shape: [BitStream.wordCount(linear.columns, bits: linear.bits), linear.rows]),
            try TensorDescription(name: linear.name + ".scales", type: .f16, shape: [linear.groups, linear.rows]),
            try TensorDescription(name: linear.name + ".g_idx", type: .i32, shape: [linear.columns]),
            try TensorDescription(
                name: linear.name + ".qzeros", type: .i32, shape: [linear.groups, BitStream.wordCount(linear.rows, bits: linear.bits)]),
        ]
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        if linear.holdsValues { return try DenseFormat().write(tensor, of: linear, tile: tile, to: sink) }
        switch tensor.dropFirst(linear.name.count) {
        case ".qweight": try writeCodes(linear, tile, sink)
        case ".scales":
            let scales = Matrix<Float>(uninitialized: linear.rows, linear.groups)
            try forEachTile(linear, tile) { tile, rows in scales.rows(rows).assign(tile.scales()) }
            try writeNumbers(scales.transposed(), as: .f16, to: sink)
        case ".g_idx":
            let width = linear.group == -1 ? linear.columns : linear.group
            let groups = try tile(0).groupOfColumn ?? (0..<linear.columns).map { Int32($0 / width) }
            try groups.map(\.littleEndian).withUnsafeBytes(sink)
        case ".qzeros": try writeZeros(linear, tile, sink)
        default: preconditionFailure("\(tensor) is no tensor of \(linear.name)")
        }
    }

    /// The words of all rows, transposed: a row's stream becomes a column.
    private func writeCodes(_ linear: PackedLinear, _ tile: (Int) throws -> EncodedTile, _ sink: TensorSink) throws {
        let words = BitStream.wordCount(linear.columns, bits: linear.bits)
        let result = Matrix<UInt32>(uninitialized: words, linear.rows)
        try forEachTile(linear, tile) { tile, rows in
            tile.withWords { source in
                for (position, row) in rows.enumerated() {
                    for word in 0..<words { result.base[word * linear.rows + row] = source[position * words + word] }
                }
            }
        }
        try result.withBytes { try sink(UnsafeRawBufferPointer($0)) }
    }

    private func writeZeros(_ linear: PackedLinear, _ tile: (Int) throws -> EncodedTile, _ sink: TensorSink) throws {
        var zeros: [UInt8] = []
        try forEachTile(linear, tile) { tile, _ in zeros += tile.zeros() }
        if zeroPoints == .lessOne {
            if let index = zeros.firstIndex(of: 0) {
                throw PackingError(
                    "\(linear.name): row \(index / linear.groups) has the zero point 0 in group \(index % linear.groups), which `format: gptq` cannot hold "
                        + "(it stores zero points less one); use `gptq_v2`")
            }
            for index in zeros.indices { zeros[index] -= 1 }
        }
        try PackedZeros.pack(zeros, rows: linear.rows, groups: linear.groups, bits: linear.bits, transposed: false).withUnsafeBytes(sink)
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? {
        GPTQConfiguration.object(linears.filter { !$0.holdsValues }, ignored: self.ignored(linears, ignored), checkpointFormat: checkpointFormat)
    }

    /// AutoGPTQ, GPTQModel and vLLM look for the same keys here.
    public func companions(_ linears: [PackedLinear], ignored: [String]) throws -> [(name: String, text: String)] {
        guard let value = try configuration(linears, ignored: ignored) else { return [] }
        return [("quantize_config.json", value.text())]
    }
}

/// Runs `body` on every tile with the rows that it stands for.
func forEachTile(_ linear: PackedLinear, _ tile: (Int) throws -> EncodedTile, _ body: (EncodedTile, Range<Int>) throws -> Void) throws {
    var row = 0
    for index in 0..<linear.tileCount {
        let tile = try tile(index), rows = row..<row + tile.layout.rows
        try body(tile, rows)
        row = rows.upperBound
    }
}
