// The numbers of a transformed tensor, made from those that are stored.

public import LinearAlgebra

extension TensorTransform {
    /// Numbers that one thread works on at once, where a block of rows of 64 columns is not more.
    private static let numbersAtOnce = 1 << 19

    /// Bytes that a thread takes for them: as they are stored, and in double precision.
    public static let workspaceBytes = numbersAtOnce * (MemoryLayout<Float>.size + MemoryLayout<Double>.size)

    /// A window of the transformed tensor: computed in double precision from whole blocks, and rounded once.
    ///
    /// - Parameters:
    ///   - type: that in which the tensor is stored, to which numbers are rounded.
    ///   - destination: [rows.count, columns.count]
    ///   - stored: reads a window of the tensor as it is.
    ///   - gain: what a norm multiplies with.
    ///   - scales: of channels, one by one.
    public func read(
        rows: Range<Int>, columns: Range<Int>, type: StoredType, into destination: Matrix<Float>,
        stored: @Sendable (_ rows: Range<Int>, _ columns: Range<Int>, _ destination: Matrix<Float>) throws -> Void, gain: (Norm) throws -> [Float],
        scales: (Channels) -> [Double]
    ) throws {
        precondition(destination.rows == rows.count && destination.columns == columns.count, "\(rows) x \(columns) into another shape")
        if let constant { return destination.fill(constant) }
        let (across, down) = (self.columns ?? Side(), self.rows ?? Side())
        let (rowFactors, columnFactors) = (try down.elementFactors(gain, scales), try across.elementFactors(gain, scales))
        let offset = Double(offset ?? 0)
        let width = max(min(columns.count, Self.numbersAtOnce / max(down.block, 1)), 64)
        let windows = across.pieces(columns, of: width)
        let height = max(1, Self.numbersAtOnce / 8 / max(windows.first?.count ?? 1, 1))
        let units = down.pieces(rows, of: height).flatMap { rows in windows.map { (rows: rows, columns: $0) } }
        _ = try parallelMap(units.count) { unit in
            let (own, window) = units[unit]
            let values = Matrix<Double>(uninitialized: own.count, window.count)
            try Self.load(own, window, offset: offset, rowFactors, columnFactors, into: values, stored)
            across.rotateColumns(of: values, first: window.lowerBound)
            down.rotateRows(of: values, first: own.lowerBound)
            let (asked, askedColumns) = (own.clamped(to: rows), window.clamped(to: columns))
            for row in asked {
                let source = values.row(row - own.lowerBound) - window.lowerBound, target = destination.row(row - rows.lowerBound) - columns.lowerBound
                switch type {
                case .f32: for column in askedColumns { target[column] = Float(source[column] - offset) }
                case .f16, .bf16: for column in askedColumns { target[column] = type.rounded(source[column] - offset) }
                }
            }
        }
    }

    /// Stored numbers times factors: [rows, columns]
    private static func load(
        _ rows: Range<Int>, _ columns: Range<Int>, offset: Double, _ rowFactors: Side.ElementFactors?, _ columnFactors: Side.ElementFactors?,
        into values: Matrix<Double>, _ stored: (Range<Int>, Range<Int>, Matrix<Float>) throws -> Void
    ) throws {
        let plain = Matrix<Float>(uninitialized: rows.count, columns.count)
        try stored(rows, columns, plain)
        let columnFactors = columnFactors.map { factors in columns.map(factors.factor) }
        for row in 0..<rows.count {
            let (source, target) = (plain.row(row), values.row(row))
            let factor = rowFactors?.factor(of: rows.lowerBound + row) ?? 1
            if let columnFactors {
                for column in 0..<columns.count { target[column] = (Double(source[column]) + offset) * factor * columnFactors[column] }
            } else {
                for column in 0..<columns.count { target[column] = (Double(source[column]) + offset) * factor }
            }
        }
    }
}

extension TensorTransform.Side {
    /// What each element along the side is multiplied with before it is rotated.
    fileprivate struct ElementFactors: Sendable {
        let gain: [Float]?
        let factors: TensorTransform.Factors?
        let scales: [Double]

        func factor(of index: Int) -> Double {
            (gain.map { Double($0[index % $0.count]) } ?? 1) * (factors?.factor(of: index, scales) ?? 1)
        }
    }

    /// - Returns: nil where that is 1 for all.
    fileprivate func elementFactors(_ gains: (Norm) throws -> [Float], _ scales: (Channels) -> [Double]) throws -> ElementFactors? {
        guard gain != nil || factors != nil else { return nil }
        return ElementFactors(gain: try gain.map(gains), factors: factors, scales: factors.map { scales($0.channels) } ?? [])
    }

    /// Each row times the block-diagonal matrix of normalised Hadamard matrices.
    ///
    /// - Parameter first: the number of the first column, whose block begins with it.
    fileprivate func rotateColumns(of values: Matrix<Double>, first: Int) {
        let blocks = blocks(in: first..<first + values.columns), factor = 1 / Double(block).squareRoot()
        for row in blocks.isEmpty ? 0..<0 : 0..<values.rows {
            for block in blocks {
                let start = values.row(row) + block.lowerBound - first
                var half = 1
                while half < block.count {
                    for pair in stride(from: 0, to: block.count, by: 2 * half) { butterfly(start + pair, start + pair + half, count: half) }
                    half *= 2
                }
                for element in 0..<block.count { start[element] *= factor }
            }
        }
    }

    /// The same matrix times the columns.
    ///
    /// - Parameter first: the number of the first row, whose block begins with it.
    fileprivate func rotateRows(of values: Matrix<Double>, first: Int) {
        let factor = 1 / Double(block).squareRoot()
        for block in blocks(in: first..<first + values.rows) {
            let start = block.lowerBound - first
            var half = 1
            while half < block.count {
                for pair in stride(from: start, to: start + block.count, by: 2 * half) {
                    for row in pair..<pair + half { butterfly(values.row(row), values.row(row + half), count: values.columns) }
                }
                half *= 2
            }
            for row in start..<start + block.count {
                let line = values.row(row)
                for column in 0..<values.columns { line[column] *= factor }
            }
        }
    }

    /// Sums and differences in place of two runs of numbers: a step of the fast transform.
    private func butterfly(_ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>, count: Int) {
        for index in 0..<count {
            let (x, y) = (a[index], b[index])
            a[index] = x + y
            b[index] = x - y
        }
    }
}

extension Matrix<Float> {
    fileprivate func fill(_ value: Float) {
        for row in 0..<rows { self.row(row).update(repeating: value, count: columns) }
    }
}
