// Which tensor of one format stands for which of another.

/// What a tensor of a compressed linear holds.
public enum PackedRole: Sendable {
    case codes, scales, zeros
    /// Shapes and groups: small, and not in every format.
    case other

    /// - Parameter suffix: what follows the linear's name in the tensor's.
    public init(suffix: some StringProtocol) {
        self =
            switch suffix {
            case ".weight_packed", ".qweight", ".B", ".w_comp", ".dense_weights", ".weight": .codes
            case ".weight_scale", ".scales", ".s", ".ter_minmax": .scales
            case ".weight_zero_point", ".qzeros": .zeros
            default: .other
            }
    }
}
