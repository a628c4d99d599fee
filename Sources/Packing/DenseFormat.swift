// Dequantized weights in the source's type: what every client loads, and the only carrier for layers that formats cannot express.

public import JSON
public import Safetensors
public import LinearAlgebra

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
            for index in 0..<linear.tileCount {
                let tile = try tile(index)
                let weights = Matrix<Float>(uninitialized: tile.layout.rows, tile.layout.columns)
                tile.dequantize(into: weights)
                try writeNumbers(weights, as: linear.sourceType, to: sink)
            }
            return
        }
        let whole = Matrix<Float>(uninitialized: linear.rows, linear.columns)
        var row = 0
        for index in 0..<linear.tileCount {
            let tile = try tile(index)
            tile.dequantize(into: whole.rows(row..<row + tile.layout.rows))
            row += tile.layout.rows
        }
        try writeNumbers(whole.transposed(), as: linear.sourceType, to: sink)
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? { nil }
}

/// Writes the elements of a contiguous matrix in a checkpoint's type.
public func writeNumbers(_ numbers: Matrix<Float>, as type: ElementType, to sink: TensorSink) throws {
    switch type {
    case .f32:
        try numbers.withBytes { try sink(UnsafeRawBufferPointer($0)) }
    case .bf16, .f16:
        let narrow = Matrix<UInt16>(uninitialized: 1, numbers.count)
        withExtendedLifetime(numbers) {
            if type == .bf16 {
                Numbers.narrow(numbers.base, intoBFloat16: narrow.base, count: numbers.count)
            } else {
                Numbers.narrow(numbers.base, intoFloat16: narrow.base, count: numbers.count)
            }
        }
        try narrow.withBytes { try sink(UnsafeRawBufferPointer($0)) }
    default:
        preconditionFailure("weights of type \(type)")
    }
}
