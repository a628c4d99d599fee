// The part of a tensor of several matrices that is one linear's weight.

/// A linear's share of a tensor that holds weights of many: [matrices, outputs, columns], or transposed [matrices, columns, outputs].
///
/// Its bias, if it has one, is the same share of a tensor [matrices, outputs].
public struct TensorSlice: Sendable, Hashable {
    public let matrices: Int
    /// The one in which the linear lies.
    public let matrix: Int
    /// Of a matrix: the rows of all linears in it.
    public let outputs: Int
    /// The output that is the linear's first row.
    public let first: Int
    /// Outputs from one row of the linear to the next: 2 where two linears alternate.
    public let step: Int

    package init(matrices: Int, matrix: Int, outputs: Int, first: Int, step: Int) {
        (self.matrices, self.matrix, self.outputs, self.first, self.step) = (matrices, matrix, outputs, first, step)
    }

    /// The output that is a row of the linear.
    public func output(ofRow row: Int) -> Int { first + row * step }
}
