// Reading ternary linears in QMoE's codewords.

public import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// The inverse of `QMoEFormat`.
public struct QMoEReader: WeightReader {
    public let name = "qmoe"
    public let codesSuffix = ".w_comp"

    /// - Parameter quantization: the `quantization_config` of config.json.
    public init(_ quantization: JSONValue) throws(PackingError) {
        for (key, value) in quantization.object ?? [] where !value.saysNothing {
            guard ["quant_method", "bits"].contains(key) else {
                throw PackingError("`quantization_config.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        guard quantization["bits"]?.string == "ternary" else {
            throw PackingError("`quantization_config.bits` of qmoe must be \"ternary\", found \(quantization["bits"]?.plainText ?? "none")")
        }
    }

    public func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions {
        QuantizationOptions(.ternary, scaleType: .bf16)
    }

    public func parts(_ shape: LinearShape, _ options: QuantizationOptions) -> [PackedPart] {
        [
            PackedPart(".w_comp", [.i16], [nil]),
            PackedPart(".row_off", [.i32], [shape.rows + 1]),
            PackedPart(".ter_minmax", [.bf16], [2 * shape.rows]),
        ]
    }

    /// Rows are as many as have offsets, columns as many weights as the codewords of the first row stand for.
    public func shape(_ linear: String, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> LinearShape {
        let name = linear + ".row_off"
        guard let found = tensors.description(name), found.type == .i32, found.shape.count == 1, found.shape[0] > 1 else {
            throw PackingError("tensor \(name) is missing, or is not the offsets of rows in I32")
        }
        let first = try offsets(linear, rows: 0..<1, in: tensors)
        return LinearShape(rows: found.shape[0] - 1, columns: try withCodewords(linear, first[0]..<first[1], in: tensors, QMoEDictionary.shared.weightCount))
    }

    public func tile(
        _ linear: String, rows: Range<Int>, of shape: LinearShape, _ options: QuantizationOptions, in tensors: some TensorSource
    ) throws -> EncodedTile {
        let codes = Matrix<UInt8>(uninitialized: rows.count, shape.columns), numbers = Matrix<Float>(uninitialized: rows.count, 2)
        let offsets = try offsets(linear, rows: rows, in: tensors), start = offsets[0]
        try withCodewords(linear, start..<offsets[rows.count], in: tensors) { bytes in
            for row in 0..<rows.count {
                let own = UnsafeRawBufferPointer(rebasing: bytes[2 * (offsets[row] - start)..<2 * (offsets[row + 1] - start)])
                let found = QMoEDictionary.shared.decode(own, into: codes.row(row), count: shape.columns)
                guard found == (shape.columns + 1) / 2 * 2 else {
                    throw PackingError("tensor \(linear).w_comp has \(found) weights in row \(rows.lowerBound + row), expected \(shape.columns)")
                }
            }
        }
        try tensors.withBytes(of: linear + ".ter_minmax", bytes: 4 * rows.lowerBound..<4 * rows.upperBound) {
            readNumbers($0, .bf16, count: numbers.count, into: numbers.base)
        }
        return EncodedTile(TileLayout(rows: rows.count, columns: shape.columns, options: options), ternary: codes, numbers: numbers)
    }

    /// Where the codewords of some rows begin, and where the last row's end.
    private func offsets(_ linear: String, rows: Range<Int>, in tensors: some TensorSource) throws -> [Int] {
        let name = linear + ".row_off", count = tensors.description(linear + codesSuffix)?.shape.first ?? 0
        let offsets = try tensors.withBytes(of: name, bytes: 4 * rows.lowerBound..<4 * (rows.upperBound + 1)) { bytes in
            (0...rows.count).map { Int(Int32(bitPattern: UInt32(littleEndian: word(bytes, $0)))) }
        }
        for (index, offset) in offsets.enumerated() where !(0...count).contains(offset) || index > 0 && offset < offsets[index - 1] {
            throw PackingError("tensor \(name) says \(offset) at \(rows.lowerBound + index), but offsets do not fall, and end at the \(count) codewords")
        }
        return offsets
    }

    private func withCodewords<Value>(
        _ linear: String, _ codewords: Range<Int>, in tensors: some TensorSource, _ body: (UnsafeRawBufferPointer) throws -> Value
    ) throws -> Value {
        try tensors.withBytes(of: linear + codesSuffix, bytes: 2 * codewords.lowerBound..<2 * codewords.upperBound, body)
    }
}
