// A solved tile as bytes: what ranks send each other and what partial checkpoints hold.

public import Compression
public import LinearAlgebra

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
        self.init(.codes(tile), layout: TileLayout(rows: tile.codes.rows, columns: tile.codes.columns, options: options))
    }

    /// - Parameter thresholds: those of the layout's pruning.
    public init(_ tile: SolvedTile, layout: TileLayout, thresholds: [Float] = []) {
        self.init(layout: layout, bytes: Matrix(repeating: 0, 1, layout.byteCount))
        switch tile {
        case .codes(let tile): write(tile)
        case .values(let tile): write(tile.values)
        }
        note(loss: tile.loss, energy: tile.energy)
        precondition(thresholds.count * 4 == layout.thresholds.count, "\(thresholds.count) thresholds for \(layout.thresholds.count / 4) comparisons")
        pointer(layout.thresholds, Float.self).update(from: thresholds, count: thresholds.count)
        if !layout.zeroCount.isEmpty, !layout.isTernary {
            let weights = Matrix<Float>(uninitialized: layout.rows, layout.columns)
            tile.dequantize(into: weights)
            pointer(layout.zeroCount, Int.self).pointee = UnsafeBufferPointer(start: weights.base, count: weights.count).count { $0 == 0 }
        }
    }

    /// - Parameters:
    ///   - loss: of each row; empty where it was not measured.
    ///   - energy: of the first rows.
    private func note(loss: [Double], energy: [Double]) {
        let losses = pointer(layout.losses, Double.self)
        losses[0] = loss.isEmpty ? .nan : loss.reduce(0, +)
        (losses[1], losses[2]) = zip(loss, energy).reduce((0, 0)) { $1.1.isNaN ? $0 : ($0.0 + $1.0, $0.1 + $1.1) }
    }

    private func write(_ tile: QuantizedTile) {
        let options = layout.options
        pointer(layout.clampedScales, Int.self).pointee = tile.clampedScales
        if options.number.blocks != nil { return BlockCoding.encode(tile, into: bytes.base + layout.codes.lowerBound) }
        let words = pointer(layout.codes, UInt32.self)
        for row in 0..<layout.rows {
            BitStream.pack(tile.codes.row(row), count: layout.columns, bits: options.bits, into: words + row * layout.wordsPerRow)
        }
        if let spqr = tile.spqr {
            write(spqr)
        } else {
            copy(tile.scales, to: pointer(layout.scales, Float.self))
        }
        if layout.isTernary { return countTernary(tile.codes) }
        if let divisor = tile.divisor { pointer(layout.divisor, Float.self).pointee = divisor }
        if !layout.zeros.isEmpty { copy(tile.zeros, to: pointer(layout.zeros, UInt8.self)) }
        if !layout.groupOfColumn.isEmpty {
            // A tile that was rounded to nearest has groups of neighbouring columns.
            let groups = tile.groupOfColumn ?? (0..<layout.columns).map { Int32($0 / options.group) }
            pointer(layout.groupOfColumn, Int32.self).update(from: groups, count: groups.count)
        }
    }

    /// Zeros, and the codewords of each row.
    private func countTernary(_ codes: Matrix<UInt8>) {
        let counts = pointer(layout.entryCounts, UInt32.self)
        for row in 0..<codes.rows { counts[row] = UInt32(QMoEDictionary.shared.codewordCount(codes.row(row), count: codes.columns)) }
        pointer(layout.zeroCount, Int.self).pointee = (0..<codes.rows).reduce(0) { sum, row in
            sum + UnsafeBufferPointer(start: codes.row(row), count: codes.columns).count { $0 == 0 }
        }
    }

    private func write(_ values: Matrix<Float>) {
        switch layout.valueType {
        case .f32?: copy(values, to: pointer(layout.values, Float.self))
        case .f16?:
            let halves = pointer(layout.values, UInt16.self)
            for row in 0..<values.rows { Numbers.narrow(values.row(row), intoFloat16: halves + row * values.columns, count: values.columns) }
        case .bf16?:
            let halves = pointer(layout.values, UInt16.self)
            for row in 0..<values.rows { Numbers.narrow(values.row(row), intoBFloat16: halves + row * values.columns, count: values.columns) }
        case nil: preconditionFailure("values for a tile of codes")
        }
    }

    /// Runs `body` on the packed codes, or on the blocks.
    public func withCodeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.columns(layout.codes).withBytes { try body(UnsafeRawBufferPointer($0)) }
    }

    /// The scales: [rows, groups]; of ternary rows the number below 0 and that above, [rows, 2].
    public func scales() -> Matrix<Float> {
        if layout.isSpQR { return spqrScales().scales() }
        let result = Matrix<Float>(uninitialized: layout.rows, layout.numbersPerRow)
        withExtendedLifetime(bytes) { result.base.update(from: pointer(layout.scales, Float.self), count: result.count) }
        return result
    }

    /// The number by which the stored scales of the whole linear are divided; 1 for types without one.
    var divisor: Float {
        guard !layout.divisor.isEmpty else { return 1 }
        return withExtendedLifetime(bytes) { pointer(layout.divisor, Float.self).pointee }
    }

    /// Zero points as unsigned codes [rows, groups]; 2^(bits - 1) when symmetric.
    public func zeros() -> [UInt8] {
        guard !layout.holdsValues, !layout.isTernary, !layout.isSpQR else { return [] }
        guard !layout.options.symmetric else {
            return [UInt8](repeating: UInt8(1 << (layout.options.bits - 1)), count: layout.rows * layout.groups)
        }
        return bytes.columns(layout.zeros).elements()
    }

    /// The sum over the tile's rows; not a number when it was not measured.
    public var loss: Double { withExtendedLifetime(bytes) { pointer(layout.losses, Double.self)[0] } }

    /// Loss and energy of the rows whose energy was measured; their quotient is the squared relative output error. Zero without such rows.
    public var sampled: (loss: Double, energy: Double) {
        withExtendedLifetime(bytes) {
            let losses = pointer(layout.losses, Double.self)
            return (losses[1], losses[2])
        }
    }

    /// The thresholds of the comparisons that went through all rows of the linear.
    public var thresholds: [Float] {
        withExtendedLifetime(bytes) { Array(UnsafeBufferPointer(start: pointer(layout.thresholds, Float.self), count: layout.thresholds.count / 4)) }
    }

    /// The largest magnitude of the inputs of the tile's linear; nil where no scale of them is stored.
    var inputMagnitude: Float? {
        guard !layout.inputMagnitude.isEmpty else { return nil }
        return withExtendedLifetime(bytes) { pointer(layout.inputMagnitude, Float.self).pointee }
    }

    /// Notes the largest magnitude of the linear's inputs where a scale of them is stored.
    public func note(inputMagnitude: Float) {
        guard !layout.inputMagnitude.isEmpty else { return }
        withExtendedLifetime(bytes) { pointer(layout.inputMagnitude, Float.self).pointee = inputMagnitude }
    }

    /// The number of weights that are zero; nil unless the tile was pruned, or is ternary. Bytes that came from a file may say more than there are.
    public var zeroCount: Int? {
        guard !layout.zeroCount.isEmpty else { return nil }
        return withExtendedLifetime(bytes) { min(max(pointer(layout.zeroCount, Int.self).pointee, 0), layout.rows * layout.columns) }
    }

    /// QMoE's codewords, or SpQR's outliers, of each row; nil of other tiles.
    public var entryCounts: [UInt32]? {
        guard !layout.entryCounts.isEmpty else { return nil }
        return withExtendedLifetime(bytes) { Array(UnsafeBufferPointer(start: pointer(layout.entryCounts, UInt32.self), count: layout.rows)) }
    }

    /// Scales that were clamped to the normal numbers of their type; nil for values. Bytes that came from a file may say more than there are.
    public var clampedScales: Int? {
        guard !layout.clampedScales.isEmpty else { return nil }
        return withExtendedLifetime(bytes) { min(max(pointer(layout.clampedScales, Int.self).pointee, 0), layout.rows * layout.groups) }
    }

    /// Whether every column belongs to a group that the tile has; bytes that came from a file may say otherwise.
    public var hasValidGroups: Bool {
        withExtendedLifetime(bytes) {
            UnsafeBufferPointer(start: pointer(layout.groupOfColumn, Int32.self), count: layout.groupOfColumn.count / 4)
                .allSatisfy { (0..<Int32(clamping: layout.groups)).contains($0) }
        }
    }

    /// Whether every ternary code is 0, 1 or 2, and the codes and counts of SpQR are such; bytes that came from a file may say otherwise.
    public var hasValidCodes: Bool {
        if layout.isSpQR { return hasValidSpQR }
        guard layout.isTernary else { return true }
        return withExtendedLifetime(bytes) {
            UnsafeBufferPointer(start: pointer(layout.codes, UInt32.self), count: layout.codes.count / 4).allSatisfy { $0 & $0 >> 1 & 0x5555_5555 == 0 }
        }
    }

    /// Valid while `bytes` lives: callers hold on to the tile.
    func pointer<T>(_ part: Range<Int>, _: T.Type) -> UnsafeMutablePointer<T> {
        UnsafeMutableRawPointer(bytes.base + part.lowerBound).assumingMemoryBound(to: T.self)
    }

    func copy<T>(_ matrix: Matrix<T>, to destination: UnsafeMutablePointer<T>) {
        for row in 0..<matrix.rows { (destination + row * matrix.columns).update(from: matrix.row(row), count: matrix.columns) }
    }
}
