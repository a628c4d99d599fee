// A weight that is stored as numbers of few bits, each of which is multiplied by the scale of its block.

internal import Safetensors

/// How such a weight lies in a checkpoint, its tensors checked.
///
/// w = number * scale in fp32, the scale divided by one of the whole tensor first, or multiplied with it, where there is such (NVFP4), and a zero point taken from the
/// number where there are such.
public struct ScaledWeight: Sendable, Equatable {
    /// How numbers are stored.
    public enum Number: Sendable {
        case e4m3
        case int8
        /// Two to a byte, the even column in the lower half.
        case e2m1

        public var bits: Int { self == .e2m1 ? 4 : 8 }
    }

    /// How scales are stored.
    public enum Scale: Sendable {
        case f32, f16, bf16, e4m3
        /// Exponents alone.
        case e8m0

        var byteCount: Int {
            switch self {
            case .f32: 4
            case .f16, .bf16: 2
            case .e4m3, .e8m0: 1
            }
        }
    }

    /// The tensor of the dense model that it stands for, and that tensor's shape.
    public let tensor: String
    public let shape: [Int]
    /// What messages call the format.
    public let format: String
    public let number: Number
    public let scale: Scale
    /// The tensors of numbers, [matrices, rows, columns], and of scales, [matrices, rows / blockRows, columns / blockColumns] rounded up.
    public let numbers: String
    public let scales: String
    public let matrices: Int
    public let rows: Int
    public let columns: Int
    public let blockRows: Int
    public let blockColumns: Int
    /// Whether the format has one scale for the whole tensor.
    public let hasOneScale: Bool
    /// One number by which every scale is divided, or multiplied, in F32.
    public let divisor: String?
    public let factor: String?
    /// Of each scale a whole number, of eight bits, that is taken from the numbers.
    public let zeroPoints: String?
    /// Whether the dense model has each matrix transposed.
    public let isTransposed: Bool

    /// The names of its tensors.
    public var parts: [String] { [numbers, scales] + [whole, zeroPoints].compactMap { $0 } }

    /// The tensor of the number for the whole weight.
    public var whole: String? { divisor ?? factor }

    /// Scales below and beside each other in a matrix.
    var grid: (rows: Int, columns: Int) { ((rows + blockRows - 1) / blockRows, (columns + blockColumns - 1) / blockColumns) }
}

extension ScaledWeight {
    /// What a format says of a weight.
    struct Form {
        var format: String
        var number: Number
        /// Rows and columns of a block; nil: all.
        var block: (rows: Int?, columns: Int?)
        /// Types in which scales may be stored, and what they mean.
        var scales: [ElementType: Scale]
        var isTransposed = false
    }

    /// Checks the tensors of a weight.
    ///
    /// - Parameters:
    ///   - shape: of the numbers: [rows, columns] or [matrices, rows, columns].
    init(
        _ tensor: String, _ form: Form, numbers: String, shape: [Int], scales: String, divisor: String? = nil, factor: String? = nil,
        zeroPoints: String? = nil,
        _ description: (String) -> TensorDescription?
    ) throws(PackingError) {
        guard (2...3).contains(shape.count), shape.allSatisfy({ (1...Self.largestExtent).contains($0) }) else {
            throw PackingError("tensor \(numbers) stands for a weight of the shape \(shape), and \(form.format) has matrices")
        }
        guard let found = description(scales) else { throw PackingError("tensor \(scales) is missing, the scales of \(numbers) (\(form.format))") }
        guard let scale = form.scales[found.type] else {
            let types = form.scales.keys.map(\.rawValue).sorted().joined(separator: " or ")
            throw PackingError("tensor \(scales) is of type \(found.type.rawValue), expected \(types) (\(form.format))")
        }
        let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
        self.tensor = tensor
        self.shape = form.isTransposed ? shape.dropLast(2) + [columns, rows] : shape
        (format, number, self.scale, self.numbers, self.scales) = (form.format, form.number, scale, numbers, scales)
        (matrices, self.rows, self.columns) = (shape.count == 3 ? shape[0] : 1, rows, columns)
        (blockRows, blockColumns) = (form.block.rows ?? rows, form.block.columns ?? columns)
        hasOneScale = form.block.rows == nil && form.block.columns == nil
        (self.divisor, self.factor, self.zeroPoints, isTransposed) = (divisor, factor, zeroPoints, form.isTransposed)
        try check(scales, found)
        if let whole {
            guard let found = description(whole), found.type == .f32, found.byteCount == 4 else {
                throw PackingError("tensor \(whole) is missing or not one number in F32 (\(format))")
            }
        }
        if let zeroPoints {
            guard let found = description(zeroPoints), found.type == .i8 else { throw PackingError("tensor \(zeroPoints) is missing or not I8 (\(format))") }
            try check(zeroPoints, found)
        }
    }

    /// Far beyond use, and small enough that no product of a few overflows.
    private static let largestExtent = 1 << 24

    /// Checks that a tensor has one number for each block; dimensions of one element may be left out.
    private func check(_ name: String, _ found: TensorDescription) throws(PackingError) {
        let expected = (shape.count == 3 ? [matrices] : []) + [grid.rows, grid.columns]
        guard found.shape.filter({ $0 != 1 }) == expected.filter({ $0 != 1 }) else {
            throw PackingError(
                "tensor \(name) has shape \(found.shape), expected \(expected): \(numbers) has blocks of \(blockRows) x \(blockColumns) (\(format))")
        }
    }
}
