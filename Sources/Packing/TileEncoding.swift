// A solved tile as bytes: what ranks send each other and what partial checkpoints hold.

public import Compression
public import LinearAlgebra

/// Where the parts of an encoded tile lie; follows from its shape and options alone, so messages need no headers.
public struct TileLayout: Sendable, Equatable {
    public let rows: Int
    public let columns: Int
    public let options: QuantizationOptions

    public init(rows: Int, columns: Int, options: QuantizationOptions) {
        self.rows = rows
        self.columns = columns
        self.options = options
    }

    public var groups: Int { options.groupCount(columns: columns) }
    /// 32-bit words of a row's codes.
    public var wordsPerRow: Int { BitStream.wordCount(columns, bits: options.bits) }

    /// The parts, one after the other, each beginning at a multiple of 8 bytes.
    public var codes: Range<Int> { 0..<rows * wordsPerRow * 4 }
    public var scales: Range<Int> { after(codes, rows * groups * MemoryLayout<Float>.size) }
    /// Empty when symmetric.
    public var zeros: Range<Int> { after(scales, options.symmetric ? 0 : rows * groups) }
    /// Empty unless groups are made of permuted columns.
    public var groupOfColumn: Range<Int> { after(zeros, options.hasPermutedGroups ? columns * 4 : 0) }
    /// Loss and energy of each row.
    public var losses: Range<Int> { after(groupOfColumn, rows * 2 * MemoryLayout<Double>.size) }
    public var byteCount: Int { losses.upperBound }

    private func after(_ part: Range<Int>, _ length: Int) -> Range<Int> {
        let start = (part.upperBound + 7) / 8 * 8
        return start..<start + length
    }
}

/// A solved tile as bytes.
public struct EncodedTile: Sendable {
    public let layout: TileLayout
    /// [1, layout.byteCount]
    public let bytes: Matrix<UInt8>

    /// Takes bytes that came from a message or a file.
    public init(layout: TileLayout, bytes: Matrix<UInt8>) {
        precondition(bytes.count == layout.byteCount && bytes.isContiguous, "\(bytes.count) bytes for a tile of \(layout.byteCount)")
        self.layout = layout
        self.bytes = bytes
    }

    public init(_ tile: QuantizedTile, options: QuantizationOptions) {
        let layout = TileLayout(rows: tile.codes.rows, columns: tile.codes.columns, options: options)
        self.init(layout: layout, bytes: Matrix(repeating: 0, 1, layout.byteCount))
        let words = pointer(layout.codes, UInt32.self)
        for row in 0..<layout.rows {
            BitStream.pack(tile.codes.row(row), count: layout.columns, bits: options.bits, into: words + row * layout.wordsPerRow)
        }
        copy(tile.scales, to: pointer(layout.scales, Float.self))
        if !options.symmetric { copy(tile.zeros, to: pointer(layout.zeros, UInt8.self)) }
        if !layout.groupOfColumn.isEmpty {
            // A tile that was rounded to nearest has groups of neighbouring columns.
            let groups = tile.groupOfColumn ?? (0..<layout.columns).map { Int32($0 / options.group) }
            pointer(layout.groupOfColumn, Int32.self).update(from: groups, count: groups.count)
        }
        // Not a number where nothing was measured.
        let losses = pointer(layout.losses, Double.self)
        losses.update(repeating: .nan, count: 2 * layout.rows)
        losses.update(from: tile.loss, count: tile.loss.count)
        (losses + layout.rows).update(from: tile.energy, count: tile.energy.count)
    }

    /// Runs `body` on the packed codes.
    func withCodeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.columns(layout.codes).withBytes { try body(UnsafeRawBufferPointer($0)) }
    }

    /// The scales: [rows, groups]
    public func scales() -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: layout.rows, layout.groups)
        withExtendedLifetime(bytes) { result.base.update(from: pointer(layout.scales, Float.self), count: result.count) }
        return result
    }

    /// Zero points as unsigned codes [rows, groups]; 2^(bits - 1) when symmetric.
    public func zeros() -> [UInt8] {
        guard !layout.options.symmetric else {
            return [UInt8](repeating: UInt8(1 << (layout.options.bits - 1)), count: layout.rows * layout.groups)
        }
        return bytes.columns(layout.zeros).elements()
    }

    /// The sum over the tile's rows; not a number when it was not measured.
    public var loss: Double { losses()[..<layout.rows].reduce(0, +) }

    /// Loss and energy of the rows whose energy was measured; their quotient is the squared relative output error. Zero without such rows.
    public var sampled: (loss: Double, energy: Double) {
        let losses = losses()
        return zip(losses[..<layout.rows], losses[layout.rows...]).reduce((0, 0)) { sum, row in
            row.1.isNaN ? sum : (sum.loss + row.0, sum.energy + row.1)
        }
    }

    /// Whether every column belongs to a group that the tile has; bytes that came from a file may say otherwise.
    public var hasValidGroups: Bool {
        withExtendedLifetime(bytes) {
            UnsafeBufferPointer(start: pointer(layout.groupOfColumn, Int32.self), count: layout.groupOfColumn.count / 4)
                .allSatisfy { (0..<Int32(clamping: layout.groups)).contains($0) }
        }
    }

    /// The tile's weights, scale * (code - zero).
    /// - Parameter weights: [rows, columns]
    public func dequantize(into weights: Matrix<Float>) {
        decoded().dequantize(into: weights)
    }

    /// The tile as the solver left it.
    public func decoded() -> QuantizedTile {
        let codes = Matrix<UInt8>(uninitialized: layout.rows, layout.columns)
        let groups = withExtendedLifetime(bytes) {
            let words = pointer(layout.codes, UInt32.self)
            for row in 0..<layout.rows {
                BitStream.unpack(words + row * layout.wordsPerRow, count: layout.columns, bits: layout.options.bits, into: codes.row(row))
            }
            return Array(UnsafeBufferPointer(start: pointer(layout.groupOfColumn, Int32.self), count: layout.groupOfColumn.count / 4))
        }
        let losses = losses()
        return QuantizedTile(
            codes: codes, scales: scales(), zeros: Matrix(zeros(), layout.rows, layout.groups), group: layout.options.group,
            groupOfColumn: groups.isEmpty ? nil : groups, loss: Array(losses[..<layout.rows]),
            energy: Array(losses[layout.rows...].prefix { !$0.isNaN }))
    }

    /// Loss of each row, then energy of each row.
    private func losses() -> [Double] {
        withExtendedLifetime(bytes) { Array(UnsafeBufferPointer(start: pointer(layout.losses, Double.self), count: 2 * layout.rows)) }
    }

    /// Valid while `bytes` lives: callers hold on to the tile.
    func pointer<T>(_ part: Range<Int>, _: T.Type) -> UnsafeMutablePointer<T> {
        UnsafeMutableRawPointer(bytes.base + part.lowerBound).assumingMemoryBound(to: T.self)
    }

    private func copy<T>(_ matrix: Matrix<T>, to destination: UnsafeMutablePointer<T>) {
        for row in 0..<matrix.rows { (destination + row * matrix.columns).update(from: matrix.row(row), count: matrix.columns) }
    }
}
