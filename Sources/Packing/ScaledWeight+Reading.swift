// Numbers times scales as fp32, some rows and columns at a time.

internal import Compression
public import LinearAlgebra

extension ScaledWeight {
    /// Some rows and columns of the weight as the dense model has it, of three dimensions as its matrices one below the other.
    ///
    /// - Parameter destination: [rows.count, columns.count]
    /// - Throws: what the source throws, and `PackingError` for a scale with which fp32 does not hold every number.
    public func read(_ range: Range<Int>, columns window: Range<Int>, in tensors: some TensorSource, into destination: Matrix<Float>) throws {
        let height = isTransposed ? columns : rows
        var row = range.lowerBound
        while row < range.upperBound {
            let matrix = row / height, end = min((matrix + 1) * height, range.upperBound)
            let own = row - matrix * height..<end - matrix * height
            let target = destination.rows(row - range.lowerBound..<end - range.lowerBound)
            if isTransposed {
                let stored = Matrix<Float>(uninitialized: window.count, own.count)
                try read(matrix, window, own, in: tensors, into: stored)
                target.assign(stored.transposed())
            } else {
                try read(matrix, own, window, in: tensors, into: target)
            }
            row = end
        }
    }

    /// Rows and columns of one matrix, as they are stored.
    private func read(_ matrix: Int, _ rows: Range<Int>, _ window: Range<Int>, in tensors: some TensorSource, into destination: Matrix<Float>) throws {
        guard !rows.isEmpty, !window.isEmpty else { return }
        let blocks = rows.lowerBound / blockRows..<(rows.upperBound - 1) / blockRows + 1
        let scales = try scales(matrix, blocks, in: tensors), zeros = try zeroPoints(matrix, blocks, in: tensors)
        let bytesOfRow = columns * number.bits / 8
        // The bytes that hold the window's columns.
        let bytes = window.lowerBound * number.bits / 8..<(window.upperBound * number.bits + 7) / 8
        let first = (matrix * self.rows + rows.lowerBound) * bytesOfRow
        if bytes.count == bytesOfRow {
            try tensors.withBytes(of: numbers, bytes: first..<first + rows.count * bytesOfRow) { all in
                for row in rows {
                    let start = (row - rows.lowerBound) * bytesOfRow, block = (row / blockRows - blocks.lowerBound) * grid.columns
                    multiply(
                        UnsafeRawBufferPointer(rebasing: all[start..<start + bytesOfRow]), window, scales, zeros, block, destination.row(row - rows.lowerBound))
                }
            }
        } else {
            for row in rows {
                let start = first + (row - rows.lowerBound) * bytesOfRow, block = (row / blockRows - blocks.lowerBound) * grid.columns
                try tensors.withBytes(of: numbers, bytes: start + bytes.lowerBound..<start + bytes.upperBound) {
                    multiply($0, window, scales, zeros, block, destination.row(row - rows.lowerBound))
                }
            }
        }
    }

    /// - Parameters:
    ///   - bytes: those that hold the columns of `window`.
    ///   - block: the place of the row's first scale.
    private func multiply(
        _ bytes: UnsafeRawBufferPointer, _ window: Range<Int>, _ scales: [Float], _ zeros: [Float], _ block: Int, _ destination: UnsafeMutablePointer<Float>
    ) {
        let start = window.lowerBound
        for part in start / blockColumns...(window.upperBound - 1) / blockColumns {
            let scale = scales[block + part], zero = zeros.isEmpty ? 0 : zeros[block + part]
            let columns = max(part * blockColumns, start)..<min((part + 1) * blockColumns, window.upperBound)
            switch number {
            case .e4m3, .int8:
                (number == .e4m3 ? Float8.e4m3 : SmallNumbers.int8).withUnsafeBufferPointer { table in
                    for column in columns { destination[column - start] = (table[Int(bytes[column - start])] - zero) * scale }
                }
            case .e2m1:
                Float4.e2m1.withUnsafeBufferPointer { table in
                    let first = start / 2
                    for column in columns {
                        destination[column - start] = table[Int(bytes[column / 2 - first] >> UInt8(column % 2 * 4) & 15)] * scale
                    }
                }
            }
        }
    }

    /// Scales of some rows of blocks: [blocks.count, grid.columns]
    private func scales(_ matrix: Int, _ blocks: Range<Int>, in tensors: some TensorSource) throws -> [Float] {
        var result = [Float](repeating: 0, count: blocks.count * grid.columns)
        let first = (matrix * grid.rows + blocks.lowerBound) * grid.columns
        try tensors.withBytes(of: scales, bytes: first * scale.byteCount..<(first + result.count) * scale.byteCount) { bytes in
            result.withUnsafeMutableBufferPointer { values in
                guard let base = values.baseAddress else { return }
                switch scale {
                case .f32: readNumbers(bytes, .f32, count: values.count, into: base)
                case .f16: readNumbers(bytes, .f16, count: values.count, into: base)
                case .bf16: readNumbers(bytes, .bf16, count: values.count, into: base)
                case .e4m3: for index in values.indices { values[index] = Float8.e4m3[Int(bytes[index])] }
                case .e8m0: for index in values.indices { values[index] = SmallNumbers.e8m0[Int(bytes[index])] }
                }
            }
        }
        if let whole {
            let number = try tensors.withBytes(of: whole, bytes: nil) { Float(bitPattern: UInt32(littleEndian: word($0, 0))) }
            guard number.isFinite, number != 0 || divisor == nil else { throw PackingError("tensor \(whole) is \(number), by which scales are divided") }
            for index in result.indices { result[index] = divisor == nil ? result[index] * number : result[index] / number }
        }
        if let index = result.firstIndex(where: { !($0 * largest).isFinite }) {
            throw PackingError(
                "tensor \(scales): the scale \(result[index]) of block \([blocks.lowerBound + index / grid.columns, index % grid.columns]) makes numbers that fp32 "
                    + "does not hold")
        }
        return result
    }

    /// The largest magnitude of a number.
    private var largest: Float {
        switch number {
        case .e4m3: Float8.largest
        case .int8: 256
        case .e2m1: Float4.largest
        }
    }

    /// As `scales`; none where numbers are taken as they are.
    private func zeroPoints(_ matrix: Int, _ blocks: Range<Int>, in tensors: some TensorSource) throws -> [Float] {
        guard let zeroPoints else { return [] }
        let first = (matrix * grid.rows + blocks.lowerBound) * grid.columns
        return try tensors.withBytes(of: zeroPoints, bytes: first..<first + blocks.count * grid.columns) { $0.map { SmallNumbers.int8[Int($0)] } }
    }
}
