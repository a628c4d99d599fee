// Which weights share a scale.

/// As compressed-tensors names it.
public enum ScaleStrategy: String, Sendable, Codable, CaseIterable {
    /// Those of a row.
    case channel
    /// All of a linear.
    case tensor
    /// 128 rows by 128 columns.
    case block
    /// Neighbours in a row.
    case group
}

/// Rows and columns of a block that has one scale.
public let scaleBlock = 128
