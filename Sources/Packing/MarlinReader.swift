// Reading Marlin's format.

public import Compression
public import JSON
internal import LinearAlgebra
public import Safetensors

/// The inverse of `MarlinFormat`.
public struct MarlinReader: WeightReader {
    public let name = "marlin"
    public let codesSuffix = ".B"
    private let configuration: GPTQConfiguration

    /// - Parameter quantization: the `quantization_config` of config.json.
    public init(_ quantization: JSONValue) throws(PackingError) {
        // Marlin's own keys leave out what it has no choice of.
        configuration = try GPTQConfiguration(quantization["bits"] == nil ? quantization.setting("bits", 4) : quantization)
    }

    public func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions {
        let settings = try configuration.settings(linear)
        guard settings.bits == 4, settings.symmetric, !settings.isPermuted else {
            throw PackingError("config.json says of \(linear) what Marlin does not have: it has symmetric codes of 4 bits in groups of neighbours")
        }
        return settings.options(scaleType: try scaleType(linear + ".s", description))
    }

    public func parts(_ shape: LinearShape, _ options: QuantizationOptions) -> [PackedPart] {
        [
            PackedPart(".B", [.i32], [shape.columns / Marlin.tile, 2 * shape.rows]),
            PackedPart(".s", [.f16], [options.groupCount(columns: shape.columns), shape.rows]),
        ]
    }

    public func shape(_ linear: String, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> LinearShape {
        let name = linear + codesSuffix
        guard let found = tensors.description(name)?.shape, found.count == 2, found[0] > 0, found[1] % 128 == 0 else {
            throw PackingError("tensor \(name) is missing or no matrix of whole tiles")
        }
        let (columns, overflow) = found[0].multipliedReportingOverflow(by: Marlin.tile)
        guard !overflow else { throw PackingError("tensor \(name) has the shape \(found)") }
        return LinearShape(rows: found[1] / 2, columns: columns)
    }

    public func tile(
        _ linear: String, rows: Range<Int>, of shape: LinearShape, _ options: QuantizationOptions, in tensors: some TensorSource
    ) throws -> EncodedTile {
        let layout = TileLayout(rows: rows.count, columns: shape.columns, options: options)
        return try EncodedTile(layout, zeros: nil, groupOfColumn: nil) { words, scales in
            guard !rows.isEmpty else { return }
            let codes = Matrix<UInt8>(uninitialized: rows.count, shape.columns)
            let runs = rows.lowerBound / Marlin.run..<(rows.upperBound - 1) / Marlin.run + 1
            for line in 0..<shape.columns / Marlin.tile {
                let start = line * 2 * shape.rows
                try tensors.withBytes(of: linear + ".B", bytes: (start + runs.lowerBound * 128) * 4..<(start + runs.upperBound * 128) * 4) { bytes in
                    read(bytes, line, rows, from: runs.lowerBound * Marlin.run, into: codes)
                }
            }
            for row in 0..<rows.count {
                BitStream.pack(codes.row(row), count: shape.columns, bits: 4, into: words + row * layout.wordsPerRow)
            }
            try readScales(linear, rows, of: shape, layout, in: tensors, into: scales)
        }
    }

    /// bytes: the words of whole runs of rows, the first beginning at row `first`, for the 16 columns of a line.
    private func read(_ bytes: UnsafeRawBufferPointer, _ line: Int, _ rows: Range<Int>, from first: Int, into codes: Matrix<UInt8>) {
        let places = Marlin.placeOfCode
        for (position, row) in rows.enumerated() {
            let inRun = row % Marlin.run, start = (row - first) / Marlin.run * 128
            let target = codes.row(position) + line * Marlin.tile
            for column in 0..<Marlin.tile {
                let place = places[inRun / Marlin.tile * 256 + column * Marlin.tile + inRun % Marlin.tile]
                target[column] = UInt8(truncatingIfNeeded: UInt32(littleEndian: word(bytes, start + place / 8)) >> UInt32(place % 8 * 4) & 15)
            }
        }
    }

    private func readScales(
        _ linear: String, _ rows: Range<Int>, of shape: LinearShape, _ layout: TileLayout, in tensors: some TensorSource,
        into scales: UnsafeMutablePointer<Float>
    ) throws {
        let order = Marlin.scaleOrder(groups: layout.groups)
        var placeOfScale = [Int](repeating: 0, count: order.count)
        for (place, scale) in order.enumerated() { placeOfScale[scale] = place }
        let all = Matrix<Float>(uninitialized: 1, shape.rows)
        for group in 0..<layout.groups {
            try tensors.withBytes(of: linear + ".s", bytes: group * shape.rows * 2..<(group + 1) * shape.rows * 2) { bytes in
                readNumbers(bytes, .f16, count: shape.rows, into: all.base)
            }
            for (position, row) in rows.enumerated() {
                scales[position * layout.groups + group] = all.base[row / order.count * order.count + placeOfScale[row % order.count]]
            }
        }
    }
}
