// What can be wrong with the input of a method.

public enum CompressionError: Error, Equatable, CustomStringConvertible {
    case options(String)
    case shape(String)
    case hessianNotFinite(row: Int, column: Int)
    case noInput(columns: Int)
    case weightsNotFinite(row: Int, column: Int)
    /// The factorisation failed at every damping tried; `column` is where the last attempt stopped.
    case notPositiveDefinite(column: Int, dampingFraction: Double, attempts: Int)
    case factorOutOfRange(column: Int, value: Double)
    case missingFactor(String)
    /// A weight became larger than its type can hold.
    case valueOutOfRange(row: Int, column: Int, ScaleType)
    /// A weight is larger than a method's numbers can be.
    case weightTooLarge(row: Int, column: Int, value: Float, most: Float)

    public var description: String {
        switch self {
        case .options(let problem): "The quantization options cannot be used: \(problem)."
        case .shape(let problem): "The shapes do not fit: \(problem)."
        case .hessianNotFinite(let row, let column):
            "The Hessian is not finite at [\(row), \(column)]: the calibration's activations overflowed; look at the layers before this one."
        case .noInput(let columns):
            "The inputs of all \(columns) columns were zero on every calibration token, so that nothing is known of them: use other calibration text, or look at "
                + "the layers before this one."
        case .weightsNotFinite(let row, let column):
            "The weight at [\(row), \(column)] of the tile is infinite or not a number: the checkpoint is damaged."
        case .notPositiveDefinite(let column, let fraction, let attempts):
            "The Hessian is not positive definite at column \(column), even with damping \(fraction) of its mean diagonal (attempt \(attempts)): "
                + "use more calibration text, or allow more damping."
        case .factorOutOfRange(let column, let value):
            "The factor's diagonal at column \(column) is \(value), which fp32 cannot hold: the activations of this layer are far out of range."
        case .valueOutOfRange(let row, let column, let type):
            "The weight at [\(row), \(column)] of the tile became larger than \(type.rawValue) can hold when it made up for pruned ones: allow more damping."
        case .weightTooLarge(let row, let column, let value, let most):
            "The weight at [\(row), \(column)] of the tile is \(value), and half precision, in which SpQR's weights are, has room for weights up to \(most): name the "
                + "linear under `ignore`, or use another method."
        case .missingFactor(let problem): "The factor does not fit the options: \(problem)."
        }
    }
}
