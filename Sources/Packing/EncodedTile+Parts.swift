// Encoded tiles from the parts that formats store.

public import Compression
internal import LinearAlgebra

extension EncodedTile {
    /// - Parameters:
    ///   - zeros: zero points as unsigned codes [rows, groups]; nil when symmetric.
    ///   - groupOfColumn: nil unless groups are made of permuted columns.
    ///   - fill: writes the codes' words [rows, wordsPerRow] and the scales [rows, groups].
    init(
        _ layout: TileLayout, zeros: [UInt8]?, groupOfColumn: [Int32]?,
        fill: (_ words: UnsafeMutablePointer<UInt32>, _ scales: UnsafeMutablePointer<Float>) throws -> Void
    ) rethrows {
        self.init(layout: layout, bytes: Matrix(repeating: 0, 1, layout.byteCount))
        try withExtendedLifetime(bytes) {
            if let zeros {
                precondition(zeros.count == layout.zeros.count, "\(zeros.count) zero points in a tile of \(layout.zeros.count)")
                pointer(layout.zeros, UInt8.self).update(from: zeros, count: zeros.count)
            }
            if let groupOfColumn {
                precondition(groupOfColumn.count * 4 == layout.groupOfColumn.count, "groups of \(groupOfColumn.count) columns")
                pointer(layout.groupOfColumn, Int32.self).update(from: groupOfColumn, count: groupOfColumn.count)
            }
            try fill(pointer(layout.codes, UInt32.self), pointer(layout.scales, Float.self))
            pointer(layout.losses, Double.self)[0] = .nan
        }
    }

    /// A ternary tile.
    ///
    /// - Parameter numbers: the number below 0 and that above, of each row: [rows, 2].
    init(_ layout: TileLayout, ternary codes: Matrix<UInt8>, numbers: Matrix<Float>) {
        self.init(
            .codes(
                QuantizedTile(
                    codes: codes, scales: numbers, zeros: Matrix(uninitialized: codes.rows, 0), group: -1, groupOfColumn: nil, loss: [], energy: [],
                    number: .ternary)), layout: layout)
    }

    /// Column -> group, where groups are made of permuted columns.
    public var groupOfColumn: [Int32]? {
        guard !layout.groupOfColumn.isEmpty else { return nil }
        return withExtendedLifetime(bytes) {
            Array(UnsafeBufferPointer(start: pointer(layout.groupOfColumn, Int32.self), count: layout.groupOfColumn.count / 4))
        }
    }

    /// Runs `body` on the codes' words: [rows, wordsPerRow], little-endian.
    func withWords<R>(_ body: (UnsafePointer<UInt32>) throws -> R) rethrows -> R {
        try withExtendedLifetime(bytes) { try body(pointer(layout.codes, UInt32.self)) }
    }

    /// The same codes under other options of the same shape.
    public func relabelled(_ options: QuantizationOptions) -> EncodedTile {
        let target = TileLayout(rows: layout.rows, columns: layout.columns, options: options)
        precondition(options.bits == layout.options.bits && target.groups == layout.groups, "another grid of groups")
        return EncodedTile(
            target, zeros: options.symmetric ? nil : zeros(), groupOfColumn: target.groupOfColumn.isEmpty ? nil : groupOfColumn
        ) { words, scales in
            withWords { words.update(from: $0, count: layout.rows * layout.wordsPerRow) }
            let own = self.scales()
            withExtendedLifetime(own) { scales.update(from: own.base, count: own.count) }
        }
    }
}
