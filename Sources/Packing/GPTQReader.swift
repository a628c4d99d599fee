// Reading GPTQ's format in both of its versions.

public import Compression
public import JSON
public import Safetensors

/// The inverse of `GPTQFormat`.
///
/// Zero points of the first version are read as GPTQModel reads them: one is added to every word of fields of 2, 4 and 8 bits, with its carries,
/// and to every field of 3 bits.
public struct GPTQReader: WeightReader {
    public let name: String
    public let codesSuffix = ".qweight"
    private let zeroPoints: ZeroPoints
    private let configuration: GPTQConfiguration

    /// - Parameter quantization: the `quantization_config` of config.json.
    public init(_ quantization: JSONValue, zeroPoints: ZeroPoints) throws(PackingError) {
        self.zeroPoints = zeroPoints
        name = zeroPoints == .plain ? "gptq_v2" : "gptq"
        configuration = try GPTQConfiguration(quantization)
    }

    public func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions {
        try configuration.settings(linear).options(scaleType: scaleType(linear + ".scales", description))
    }

    public func parts(_ shape: LinearShape, _ options: QuantizationOptions) -> [PackedPart] {
        let groups = options.groupCount(columns: shape.columns)
        return [
            PackedPart(".qweight", [.i32], [BitStream.wordCount(shape.columns, bits: options.bits), shape.rows]),
            PackedPart(".scales", Self.scaleTypes, [groups, shape.rows]),
            PackedPart(".qzeros", [.i32], [groups, BitStream.wordCount(shape.rows, bits: options.bits)]),
            PackedPart(".g_idx", [.i32], [shape.columns], optional: !options.hasPermutedGroups),
        ]
    }

    public func shape(_ linear: String, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> LinearShape {
        let name = linear + codesSuffix
        guard let found = tensors.description(name)?.shape, found.count == 2 else { throw PackingError("tensor \(name) is missing or not a matrix") }
        let (bits, overflow) = found[0].multipliedReportingOverflow(by: 32)
        guard !overflow, found[0] > 0, bits % options.bits == 0 else {
            throw PackingError("tensor \(name) has \(found[0]) words a row, no whole number of codes")
        }
        return LinearShape(rows: found[1], columns: bits / options.bits)
    }

    public func tile(
        _ linear: String, rows: Range<Int>, of shape: LinearShape, _ options: QuantizationOptions, in tensors: some TensorSource
    ) throws -> EncodedTile {
        let layout = TileLayout(rows: rows.count, columns: shape.columns, options: options)
        let zeros = try zeros(linear, rows, of: shape, layout, in: tensors)
        return try EncodedTile(layout, zeros: options.symmetric ? nil : zeros, groupOfColumn: groups(linear, layout, in: tensors)) { words, scales in
            // A row's words lie one below the other: read by pieces, so that some rows cost no more than their share.
            for word in 0..<layout.wordsPerRow {
                let start = word * shape.rows
                try tensors.withBytes(of: linear + codesSuffix, bytes: (start + rows.lowerBound) * 4..<(start + rows.upperBound) * 4) { bytes in
                    for row in 0..<rows.count { words[row * layout.wordsPerRow + word] = Packing.word(bytes, row) }
                }
            }
            let width = options.scaleType.elementType.bits / 8
            let column = UnsafeMutablePointer<Float>.allocate(capacity: max(rows.count, 1))
            defer { column.deallocate() }
            for group in 0..<layout.groups {
                let start = group * shape.rows
                try tensors.withBytes(of: linear + ".scales", bytes: (start + rows.lowerBound) * width..<(start + rows.upperBound) * width) { bytes in
                    readNumbers(bytes, options.scaleType, count: rows.count, into: column)
                }
                for row in 0..<rows.count { scales[row * layout.groups + group] = column[row] }
            }
        }
    }

    /// Zero points as unsigned codes: [rows.count, groups]
    private func zeros(_ linear: String, _ rows: Range<Int>, of shape: LinearShape, _ layout: TileLayout, in tensors: some TensorSource) throws -> [UInt8] {
        let (bits, words) = (layout.options.bits, BitStream.wordCount(shape.rows, bits: layout.options.bits))
        // One in every field of a word.
        let ones: UInt32 = zeroPoints == .plain ? 0 : [2: 0x5555_5555, 4: 0x1111_1111, 8: 0x0101_0101][bits] ?? 0
        var zeros = try tensors.withBytes(of: linear + ".qzeros", bytes: nil) { bytes in
            PackedZeros.unpack(rows: rows, groups: layout.groups, bits: bits) { group, index in
                (UInt32(littleEndian: word(bytes, group * words + index)) &+ ones).littleEndian
            }
        }
        if zeroPoints == .lessOne, bits == 3 { for index in zeros.indices { zeros[index] = (zeros[index] + 1) & 7 } }
        if layout.options.symmetric, let index = zeros.firstIndex(where: { $0 != 1 << UInt8(bits - 1) }) {
            throw PackingError(
                "\(linear).qzeros: row \(rows.lowerBound + index / layout.groups) has the zero point \(zeros[index]) in group \(index % layout.groups); "
                    + "config.json says `sym: true`, which stands for \(1 << (bits - 1))")
        }
        return zeros
    }

    /// Column -> group; nil where groups are made of neighbours.
    private func groups(_ linear: String, _ layout: TileLayout, in tensors: some TensorSource) throws -> [Int32]? {
        let name = linear + ".g_idx", options = layout.options
        guard tensors.description(name) != nil else { return nil }
        let found = try groupIndex(name, columns: layout.columns, groups: layout.groups, in: tensors)
        if options.hasPermutedGroups { return found }
        let width = options.group == -1 ? layout.columns : options.group
        if let column = found.indices.first(where: { found[$0] != Int32($0 / width) }) {
            throw PackingError(
                "tensor \(name) puts column \(column) into group \(found[column]); config.json says `desc_act: false` and groups of \(width) neighbours")
        }
        return nil
    }
}
