// QMoE's format of ternary linears, in safetensors files.

internal import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// Per linear: w_comp [codewords] I16, of which each is an unsigned number of `QMoEDictionary`; row_off [rows + 1] I32, where each row's codewords begin, and the
/// end; ter_minmax [2 rows] BF16, the number below 0 and that above of each row. Linears that hold values are plain tensors.
///
/// How many codewords there are follows from the weights, so that sizes are known when all tiles are solved.
///
/// Source: QMoE, `sub1.py`, whose tensors these are; its files are of PyTorch and its clients its own, so that none but Cleave reads these.
public struct QMoEFormat: WeightFormat {
    public init() {}

    public func refusal(_ linear: PackedLinear) -> String? {
        if linear.holdsValues { return nil }
        if linear.options.number != .ternary { return "its codewords stand for ternary weights; use `bits: ternary`, or leave it out of the rules" }
        if linear.isTransposed { return "its weight is stored transposed; use `format: dense`" }
        if linear.columns % 2 != 0 { return "its codewords stand for pairs of weights, and it has \(linear.columns) columns; use `format: dense`" }
        return nil
    }

    /// As many bits as QMoE has for a weight (abstract), where the codewords are not yet known.
    private static let expectedBits = 0.8

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        if linear.holdsValues { return try DenseFormat().tensors(linear) }
        let codewords = linear.entries ?? Int(Double(linear.rows * linear.columns) * Self.expectedBits / 16)
        guard linear.entries == nil || codewords <= Int32.max else {
            throw PackingError(
                "\(linear.name) has \(codewords) codewords, and \(linear.name).row_off counts them in 32 bits, up to \(Int32.max); use `format: dense`")
        }
        return [
            try TensorDescription(name: linear.name + ".w_comp", type: .i16, shape: [codewords]),
            try TensorDescription(name: linear.name + ".row_off", type: .i32, shape: [linear.rows + 1]),
            try TensorDescription(name: linear.name + ".ter_minmax", type: .bf16, shape: [2 * linear.rows]),
        ]
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        if linear.holdsValues { return try DenseFormat().write(tensor, of: linear, tile: tile, to: sink) }
        var first = 0
        for index in 0..<linear.tileCount {
            let tile = try tile(index)
            switch tensor.dropFirst(linear.name.count) {
            case ".w_comp": try writeCodewords(tile, to: sink)
            case ".row_off": try tile.writeOffsets(from: &first, isFirst: index == 0, to: sink)
            default: try writeNumbers(tile.scales(), as: .bf16, to: sink)
            }
        }
    }

    private func writeCodewords(_ tile: EncodedTile, to sink: TensorSink) throws {
        let codes = tile.decoded().codes, codewords = Matrix<UInt16>(uninitialized: 1, codes.rows * ((codes.columns + 1) / 2))
        let count = (0..<codes.rows).reduce(0) { start, row in
            start + QMoEDictionary.shared.encode(codes.row(row), count: codes.columns, into: codewords.base + start)
        }
        try codewords.columns(0..<count).withBytes { try sink(UnsafeRawBufferPointer($0)) }
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? {
        guard linears.contains(where: { !$0.holdsValues }) else { return nil }
        return .object([(key: "quant_method", value: .string("qmoe")), (key: "bits", value: .string("ternary"))])
    }
}
