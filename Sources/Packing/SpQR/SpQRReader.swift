// Reading SpQR's format.

public import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// The inverse of `SpQRFormat`. Tiles hold the weights as clients compute them, in half precision: rows may be asked for that are no whole tiles of the file.
public struct SpQRReader: WeightReader {
    public let name = "spqr"
    public let codesSuffix = ".dense_weights"

    /// - Parameter quantization: the `quantization_config` of config.json.
    public init(_ quantization: JSONValue) throws(PackingError) {
        for (key, value) in quantization.object ?? [] where !value.saysNothing {
            guard ["quant_method", "bits", "beta1", "beta2", "shapes", "modules_to_not_convert"].contains(key) else {
                throw PackingError("`quantization_config.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        for (key, expected) in [("bits", SpQRLayout.bits), ("beta1", SpQRLayout.side), ("beta2", SpQRLayout.side)] {
            guard let found = quantization[key], found.integer != expected else { continue }
            throw PackingError("`quantization_config.\(key)` of spqr must be \(expected), found \(found.plainText)")
        }
    }

    public func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions {
        QuantizationOptions(spqr: SpQRLayout.bits, group: SpQRLayout.side)
    }

    public func parts(_ shape: LinearShape, _ options: QuantizationOptions) -> [PackedPart] {
        [
            PackedPart(".dense_weights", [.i64], [shape.rows * shape.columns / SpQRLayout.side]),
            PackedPart(".row_offsets", [.i32], [shape.rows + 1]),
            PackedPart(".col_vals", [.i32], [nil]),
            PackedPart(".in_perm", [.i32], [nil]),
        ]
    }

    /// Rows are as many as have offsets, columns as many as the words of so many rows hold.
    public func shape(_ linear: String, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> LinearShape {
        func length(_ suffix: String, _ type: ElementType) throws -> Int {
            guard let found = tensors.description(linear + suffix), found.type == type, found.shape.count == 1 else {
                throw PackingError("tensor \(linear)\(suffix) is missing, or no list of \(type.rawValue)")
            }
            return found.shape[0]
        }
        let side = SpQRLayout.side, rows = try length(".row_offsets", .i32) - 1, words = try length(codesSuffix, .i64), order = try length(".in_perm", .i32)
        guard rows > 0, rows % side == 0, words > 0, words % rows == 0, words / rows <= SpQRLayout.mostColumns / side else {
            throw PackingError(
                "tensors \(linear)\(codesSuffix) and \(linear).row_offsets have \(words) words and \(rows + 1) offsets, which are no rows of tiles of \(side) x \(side) "
                    + "(outliers of 16 rows beside each other, spqr_quant's `ptcsr`, are not read: write them as `csr`)")
        }
        let columns = words / rows * side
        guard order == 0 || order == columns / 2 else {
            throw PackingError("tensor \(linear).in_perm has \(order) words, expected 0, or \(columns / 2) for \(columns) columns")
        }
        return LinearShape(rows: rows, columns: columns)
    }

    public func tile(
        _ linear: String, rows: Range<Int>, of shape: LinearShape, _ options: QuantizationOptions, in tensors: some TensorSource
    ) throws -> EncodedTile {
        let side = SpQRLayout.side, whole = rows.lowerBound / side * side..<(rows.upperBound + side - 1) / side * side
        let order = try order(linear, shape, in: tensors), outliers = try outliers(linear, whole, of: shape, in: tensors)
        let words = 8 * whole.lowerBound * shape.columns / side..<8 * whole.upperBound * shape.columns / side
        let (codes, spqr) = try tensors.withBytes(of: linear + codesSuffix, bytes: words) { bytes in
            SpQRLayout.unpack(whole.count, shape.columns, outliers: outliers) {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self))
            }
        }
        let weights = Matrix<Float>(uninitialized: whole.count, shape.columns)
        spqr.dequantize(codes, groups: (0..<shape.columns).map { $0 / side }, into: weights)
        let values = Matrix<Float>(uninitialized: rows.count, shape.columns)
        for (row, source) in rows.enumerated() {
            let (from, to) = (weights.row(source - whole.lowerBound), values.row(row))
            for (place, column) in order.enumerated() {
                guard from[place].isFinite else {
                    throw PackingError(
                        "tensors \(linear)\(codesSuffix) and \(linear).col_vals make the weight of row \(source), column \(column) infinite or not a number: the "
                            + "checkpoint is damaged")
                }
                to[column] = from[place]
            }
        }
        let layout = TileLayout(rows: rows.count, columns: shape.columns, content: .values(.f16))
        return EncodedTile(.values(ValueTile(values: values, loss: [], energy: [])), layout: layout)
    }

    /// The original column of each of the file.
    private func order(_ linear: String, _ shape: LinearShape, in tensors: some TensorSource) throws -> [Int] {
        let name = linear + ".in_perm"
        guard tensors.description(name)?.shape != [0] else { return Array(0..<shape.columns) }
        let order = try tensors.withBytes(of: name, bytes: nil) { bytes in
            (0..<shape.columns).map { Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self))) }
        }
        var isTaken = [Bool](repeating: false, count: shape.columns)
        for (place, column) in order.enumerated() {
            guard column < shape.columns, !isTaken[column] else {
                throw PackingError("tensor \(name) has column \(column) at \(place), but is an order of \(shape.columns) columns, each of which comes once")
            }
            isTaken[column] = true
        }
        return order
    }

    /// What is added to the weights of some rows, in the order of the file: [rows, columns]
    private func outliers(_ linear: String, _ rows: Range<Int>, of shape: LinearShape, in tensors: some TensorSource) throws -> Matrix<UInt16> {
        let (name, values) = (linear + ".row_offsets", linear + ".col_vals"), count = tensors.description(values)?.shape.first ?? 0
        let offsets = try tensors.withBytes(of: name, bytes: 4 * rows.lowerBound..<4 * (rows.upperBound + 1)) { bytes in
            (0...rows.count).map { Int(Int32(bitPattern: UInt32(littleEndian: word(bytes, $0)))) }
        }
        for (index, offset) in offsets.enumerated() where !(0...count).contains(offset) || index > 0 && offset < offsets[index - 1] {
            throw PackingError("tensor \(name) says \(offset) at \(rows.lowerBound + index), but offsets do not fall, and end at the \(count) outliers")
        }
        let result = Matrix<UInt16>(repeating: 0, rows.count, shape.columns)
        try tensors.withBytes(of: values, bytes: 4 * offsets[0]..<4 * offsets[rows.count]) { bytes in
            for row in 0..<rows.count {
                for index in offsets[row]..<offsets[row + 1] {
                    let word = UInt32(littleEndian: word(bytes, index - offsets[0])), column = Int(word & 0xffff)
                    guard column < shape.columns else {
                        throw PackingError(
                            "tensor \(values) has an outlier in column \(column) of row \(rows.lowerBound + row), expected below \(shape.columns)")
                    }
                    guard result[row, column] == 0 else {
                        throw PackingError("tensor \(values) has two outliers in column \(column) of row \(rows.lowerBound + row)")
                    }
                    result[row, column] = UInt16(word >> 16)
                }
            }
        }
        return result
    }
}
