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

    /// Angles are products of fp32 numbers, as in transformers: at large positions the rounding shows.
    init(_ rotary: Rotary, positions: Int) {
        let frequencies = rotary.frequencies.map { Float($0) }
        cosines = Matrix(uninitialized: positions, frequencies.count)
        sines = Matrix(uninitialized: positions, frequencies.count)
        for position in 0..<positions {
            let (cosine, sine) = (cosines.row(position), sines.row(position))
            for (index, frequency) in frequencies.enumerated() {
                let angle = Double(Float(position) * frequency)
                cosine[index] = Float(cos(angle))
                sine[index] = Float(sin(angle))
            }
        }
    }

    /// Rotates the leading elements of one head at a position.
    func rotate(_ head: UnsafeMutablePointer<Float>, position: Int) {
        cleave_rotate(head, cosines.row(position), sines.row(position), cosines.columns)
    }
}

/// The table of the longest sequence so far; a model has one kind of rotation.
final class RotationTables: Sendable {
    private let latest = Mutex<(rotary: Rotary, table: RotationTable)?>(nil)

    func table(_ rotary: Rotary, positions: Int) -> RotationTable {
        latest.withLock { latest in
            if let latest, latest.rotary == rotary, latest.table.cosines.rows >= positions { return latest.table }
            let table = RotationTable(rotary, positions: positions)
            latest = (rotary, table)
            return table
        }
    }
}
