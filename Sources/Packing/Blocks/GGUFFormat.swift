// Blocks as a GGUF file has them: a row's blocks one after the other, row after row.

internal import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// Per linear: one tensor of blocks, of which safetensors' descriptions know the bytes alone: U8 [rows, bytes of a row].
public struct GGUFFormat: WeightFormat {
    public init() {}

    public func refusal(_ linear: PackedLinear) -> String? {
        let types = NumberType.allCases.filter { $0.blocks != nil }.map(\.rawValue).joined(separator: ", ")
        if linear.holdsValues { return "pruned weights are not stored in blocks; use `type: q4_k` or another of \(types) with gptq or rtn" }
        let options = linear.options
        if options.number.blocks == nil { return "GGUF has blocks; give `compress.type`: one of \(types)" }
        if linear.isTransposed { return "its weight is stored transposed" }
        return nil
    }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        [try TensorDescription(name: linear.name + ".weight", type: .u8, shape: [linear.rows, linear.blockBytesPerRow])]
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        guard let pairing = linear.pairing else {
            for index in 0..<linear.tileCount { try tile(index).withCodeBytes(sink) }
            return
        }
        // Whole rows move, and no farther than to the end of their head: only tiles that a head has part in are held.
        let rowBytes = linear.blockBytesPerRow
        var held: [Int: EncodedTile] = [:]
        for first in stride(from: 0, to: linear.rows, by: pairing.headRows) {
            let needed = (0..<linear.tileCount).filter { linear.rows(ofTile: $0).overlaps(first..<first + pairing.headRows) }
            held = held.filter { needed.contains($0.key) }
            for index in needed where held[index] == nil { held[index] = try tile(index) }
            for row in pairing.sources(first..<first + pairing.headRows) {
                guard let index = needed.first(where: { linear.rows(ofTile: $0).contains(row) }), let source = held[index] else {
                    preconditionFailure("row \(row) in no tile")
                }
                let start = (row - linear.rows(ofTile: index).lowerBound) * rowBytes
                try source.withCodeBytes { try sink(UnsafeRawBufferPointer(rebasing: $0[start..<start + rowBytes])) }
            }
        }
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? { nil }
}
