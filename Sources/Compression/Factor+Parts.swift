// A factor without its matrix, so that the rank that made it can send it to the others.

internal import LinearAlgebra

extension Factor {
    /// Everything but R.
    public struct Header: Codable, Sendable {
        var columns: Int
        var permutation: [Int]?
        var deadColumns: [Int]
        var damping: Double
        var dampingFraction: Double
        var attempts: Int
    }

    public var header: Header {
        Header(
            columns: columns, permutation: permutation, deadColumns: deadColumns, damping: damping, dampingFraction: dampingFraction,
            attempts: attempts)
    }

    /// A factor whose R waits to be filled.
    public init(header: Header) {
        self.init(
            r: Matrix(uninitialized: header.columns, header.columns), permutation: header.permutation, deadColumns: header.deadColumns,
            damping: header.damping, dampingFraction: header.dampingFraction, attempts: header.attempts)
    }
}
