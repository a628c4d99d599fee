// The cosines and sines of rotary position embedding.

internal import CKernels
internal import Glibc
internal import LinearAlgebra
internal import Synchronization

/// Cosine and sine of every position's angles.
struct RotationTable: Sendable {
    /// [positions, size / 2]
    let cosines: Matrix<Float>
    let sines: Matrix<Float>
    private let isInterleaved: Bool

    /// - Parameter rotary: of one length.
    ///
    /// Angles are products of fp32 numbers, as in transformers: at large positions the rounding shows.
    init(_ rotary: Rotary, positions: Int) {
        let frequencies = rotary.frequencies.map { Float($0) }
        isInterleaved = rotary.isInterleaved
        let amplitude = Float(rotary.amplitude)
        cosines = Matrix(uninitialized: positions, frequencies.count)
        sines = Matrix(uninitialized: positions, frequencies.count)
        for position in 0..<positions {
            let (cosine, sine) = (cosines.row(position), sines.row(position))
            for (index, frequency) in frequencies.enumerated() {
                let angle = Double(Float(position) * frequency)
                cosine[index] = Float(cos(angle)) * amplitude
                sine[index] = Float(sin(angle)) * amplitude
            }
        }
    }

    /// Rotates the leading elements of one head at a position.
    func rotate(_ head: UnsafeMutablePointer<Float>, position: Int) {
        let rotate = isInterleaved ? cleave_rotate_interleaved : cleave_rotate
        rotate(head, cosines.row(position), sines.row(position), cosines.columns)
    }
}

/// Of each kind of rotation the table of the longest sequence so far; a model has one or two, and more only where they follow from lengths.
final class RotationTables: Sendable {
    private static let capacity = 4
    private let tables = Mutex<[Rotary: RotationTable]>([:])

    /// - Parameter positions: the length of a sequence.
    func table(_ rotary: Rotary, positions: Int) -> RotationTable {
        let rotary = rotary.of(length: positions)
        return tables.withLock { tables in
            if let table = tables[rotary], table.cosines.rows >= positions { return table }
            if tables.count >= Self.capacity { tables.removeAll() }
            let table = RotationTable(rotary, positions: positions)
            tables[rotary] = table
            return table
        }
    }
}
