// A factor in parts, so that the rank that made it can send it to the others.

public import LinearAlgebra

extension Factor {
    /// Everything but the matrices.
    public struct Header: Codable, Sendable {
        var columns: Int
        var permutation: [Int]?
        var deadColumns: [Int]
        var damping: Double
        var dampingFraction: Double
        var attempts: Int
        var scatteredGroup: Int?
    }

    public var header: Header {
        Header(
            columns: columns, permutation: permutation, deadColumns: deadColumns, damping: damping, dampingFraction: dampingFraction,
            attempts: attempts, scatteredGroup: scatteredGroups?.group)
    }

    /// The matrices, in an order and with shapes that follow from the header.
    public var matrices: [Matrix<Float>] { [r] + (scatteredGroups.map { [$0.blocks] } ?? []) }

    /// A factor whose matrices wait to be filled.
    public init(header: Header) {
        self.init(
            r: Matrix(uninitialized: header.columns, header.columns), permutation: header.permutation, deadColumns: header.deadColumns,
            damping: header.damping, dampingFraction: header.dampingFraction, attempts: header.attempts,
            scatteredGroups: header.scatteredGroup.map { group in
                let width = ScatteredGroups.width(group: group, columns: header.columns)
                return ScatteredGroups(group: group, blocks: Matrix(uninitialized: header.columns, width))
            })
    }
}
