// Dequantized weights in the source's type: what every client loads, and the only carrier for layers that formats cannot express.

public import Safetensors
internal import LinearAlgebra

/// Per linear: weight, as the source stores it.
public struct DenseFormat: WeightFormat {
    public init() {}

    public func refusal(_ linear: PackedLinear) -> String? { nil }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        let shape = linear.isTransposed ? [linear.columns, linear.rows] : [linear.rows, linear.columns]
        return [try TensorDescription(name: linear.name + ".weight", type: linear.sourceType, shape: shape)]
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        guard linear.isTransposed else {
            for index in linear.tiles.indices {
                let tile = try tile(index)
                let weights = Matrix<Float>(uninitialized: tile.layout.rows, tile.layout.columns)
                tile.dequantize(into: weights)
                try writeNumbers(weights.base, count: weights.count, as: linear.sourceType, to: sink)
            }
            return
        }
        let whole = Matrix<Float>(uninitialized: linear.rows, linear.columns)
        var row = 0
        for index in linear.tiles.indices {
            let tile = try tile(index)
            tile.dequantize(into: whole.rows(row..<row + tile.layout.rows))
            row += tile.layout.rows
        }
        try writeNumbers(whole.transposed().base, count: whole.count, as: linear.sourceType, to: sink)
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? { nil }
}

/// Writes fp32 numbers in a checkpoint's type.
func writeNumbers(_ numbers: UnsafePointer<Float>, count: Int, as type: ElementType, to sink: TensorSink) throws {
    switch type {
    case .f32:
        try sink(UnsafeRawBufferPointer(start: numbers, count: count * 4))
    case .bf16, .f16:
        let narrow = Matrix<UInt16>(uninitialized: 1, count)
        if type == .bf16 {
            Numbers.narrow(numbers, intoBFloat16: narrow.base, count: count)
        } else {
            Numbers.narrow(numbers, intoFloat16: narrow.base, count: count)
        }
        try narrow.withBytes { try sink(UnsafeRawBufferPointer($0)) }
    default:
        preconditionFailure("weights of type \(type)")
    }
}
