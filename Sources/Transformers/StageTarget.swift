// Where a stage's result goes as its pieces fill it in.

public import LinearAlgebra

/// The place of what a stage makes of some tokens. It shares its memory with a batch's state, or with a message.
public enum StageTarget: Sendable {
    /// Taken as it is: [tokens, columns].
    case value(Operand)
    /// A stream to which outputs are added: [tokens, hidden].
    case sum(Matrix<Float>)

    public func rows(_ range: Range<Int>) -> StageTarget {
        switch self {
        case .value(let whole): .value(whole.rows(range))
        case .sum(let stream): .sum(stream.rows(range))
        }
    }

    public func columns(_ range: Range<Int>) -> StageTarget {
        switch self {
        case .value(let whole): .value(whole.columns(range))
        case .sum(let stream): .sum(stream.columns(range))
        }
    }

    /// Takes in fp32 numbers of the same shape: rounded to the value's type, or added.
    func put(_ numbers: Matrix<Float>) {
        switch self {
        case .value(let whole): whole.store(numbers)
        case .sum(let stream): add(numbers, to: stream)
        }
    }

    /// Takes in what some pieces made of some tokens elsewhere.
    ///
    /// - Parameter numbers: [tokens, columns], in the type of `Forward.output`.
    public func take(_ numbers: Operand, tokens: Range<Int>, columns: Range<Int>) {
        switch (rows(tokens).columns(columns), numbers) {
        case (.value(let place), _): place.assign(numbers)
        case (.sum(let place), .f32(let numbers)): add(numbers, to: place)
        case (.sum, .bf16): preconditionFailure("outputs in bf16 for a stream in fp32")
        }
    }
}
