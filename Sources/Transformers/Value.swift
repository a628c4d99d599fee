// A named activation between the operations of a block.

/// What an operation leaves for those that read it: [tokens, columns], in the compute type. Values live in a batch's state until their last reader has read
/// them.
public struct Value: Sendable, Hashable {
    public let name: String
    public let columns: Int
}

/// Some columns of a value.
public struct ValuePart: Sendable, Hashable {
    public let value: Value
    public let columns: Range<Int>

    init(_ value: Value, columns: Range<Int>? = nil) {
        self.value = value
        self.columns = columns ?? 0..<value.columns
    }
}

/// What a stage multiplies its weights with.
public struct StageInput: Sendable, Hashable {
    /// nil: the residual stream.
    let source: ValuePart?
    let norm: Norm?

    /// The residual stream, normalised.
    static func norm(_ norm: Norm) -> StageInput { StageInput(source: nil, norm: norm) }

    /// Some columns of what an earlier stage left, normalised.
    static func norm(_ norm: Norm, of part: ValuePart) -> StageInput { StageInput(source: part, norm: norm) }

    /// What an earlier stage left.
    static func value(_ value: Value) -> StageInput { StageInput(source: ValuePart(value), norm: nil) }

    /// The input itself as a value.
    public var value: Value {
        if let norm { return Value(name: norm.weight, columns: norm.size) }
        guard let source else { preconditionFailure("a stage that reads the residual stream as it is") }
        return source.value
    }

    /// Whether it is made of another value when it is asked for, and can be made again; else it rests from the stage that left it on.
    public var isDerived: Bool { norm != nil }

    /// The values that must be there for it.
    var reads: [Value] { [value] + (isDerived ? source.map { [$0.value] } ?? [] : []) }
}

/// Where the result of a stage goes.
public enum Destination: Sendable, Hashable {
    /// It is a value for later stages.
    case value(Value)
    /// It is added to the residual stream at once.
    case residual
    /// It is added to the residual stream when the block ends, so that later stages still read what the stream was before.
    case pending
    /// It is normalised when it is whole, and then added to the residual stream.
    case normalised(Norm)

    /// Bytes of a token's result while the stage is worked on; 0 where it is added as it comes.
    ///
    /// - Parameter compute: what operands of products are.
    public func restingBytes(_ compute: Compute) -> Int {
        switch self {
        case .value(let value): value.columns * compute.byteCount
        case .normalised(let norm): norm.size * Compute.f32.byteCount
        case .residual, .pending: 0
        }
    }

    /// Columns of the value that a stage leaves; 0 where it leaves none.
    public var valueColumns: Int { if case .value(let value) = self { value.columns } else { 0 } }

    /// Bytes of a number of the result before it is taken in.
    ///
    /// - Parameter compute: what operands of products are.
    public func numberBytes(_ compute: Compute) -> Int { if case .value = self { compute.byteCount } else { Compute.f32.byteCount } }
}
