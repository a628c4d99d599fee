// What reading every on-disk format does: says how a linear is compressed, which tensors it has, and makes tiles of their bytes.

public import Compression
public import Safetensors

/// Where tensors' bytes come from.
public protocol TensorSource: Sendable {
    /// The tensor of this name, or nil.
    func description(_ name: String) -> TensorDescription?

    /// Runs `body` on a tensor's bytes, or some of them; they need not be aligned to its elements.
    func withBytes<R>(of name: String, bytes: Range<Int>?, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R
}

extension Checkpoint: TensorSource {}

/// Outputs and inputs of a linear.
public struct LinearShape: Sendable, Equatable {
    public let rows: Int
    public let columns: Int

    public init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
    }
}

/// A tensor of a compressed linear as it must be.
public struct PackedPart: Sendable, Equatable {
    /// What follows the linear's name.
    public let suffix: String
    public let types: [ElementType]
    /// nil: of any length, which the numbers of another tensor say.
    public let shape: [Int?]
    /// Whether a linear may lack it.
    public let isOptional: Bool

    init(_ suffix: String, _ types: [ElementType], _ shape: [Int?], optional: Bool = false) {
        self.suffix = suffix
        self.types = types
        self.shape = shape
        isOptional = optional
    }
}

/// Reads the compressed linears of one on-disk format. A linear goes by its tensors' name without the suffix.
public protocol WeightReader: Sendable {
    /// What messages call the format.
    var name: String { get }

    /// What follows a linear's name in that of its codes: a tensor with this suffix makes a linear a compressed one.
    var codesSuffix: String { get }

    /// Whether clients of the format quantize activations too.
    var quantizesActivations: Bool { get }

    /// How a linear is compressed; its scales' type is that in which they are stored.
    /// - Throws: `PackingError` when config.json does not say, or says two things.
    func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions

    /// Whether clients look for codes of this linear, so that they would not find its plain weight.
    func expectsCodes(_ linear: String) -> Bool

    /// The tensors of a linear.
    func parts(_ shape: LinearShape, _ options: QuantizationOptions) -> [PackedPart]

    /// The shape of a linear, as its tensors tell it.
    func shape(_ linear: String, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> LinearShape

    /// Some rows of a linear whose tensors have been checked.
    func tile(_ linear: String, rows: Range<Int>, of shape: LinearShape, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> EncodedTile
}

extension WeightReader {
    /// Types in which scales are read.
    static var scaleTypes: [ElementType] { [.f16, .bf16, .f32] }

    public var quantizesActivations: Bool { false }

    /// Most formats' clients go by the tensors that are there.
    public func expectsCodes(_ linear: String) -> Bool { false }

    /// Checks types and shapes of a linear's tensors.
    public func check(
        _ linear: String, _ shape: LinearShape, _ options: QuantizationOptions, _ description: (String) -> TensorDescription?
    ) throws(PackingError) {
        for part in parts(shape, options) {
            let name = linear + part.suffix
            guard let found = description(name) else {
                if part.isOptional { continue }
                throw PackingError("tensor \(name) is missing")
            }
            guard part.types.contains(found.type) else {
                throw PackingError("tensor \(name) is of type \(found.type.rawValue), expected \(part.types.map(\.rawValue).joined(separator: " or "))")
            }
            guard found.shape.count == part.shape.count, zip(found.shape, part.shape).allSatisfy({ $1 == nil || $0 == $1 }) else {
                let expected = part.shape.map { $0.map { "\($0)" } ?? "any" }.joined(separator: ", ")
                throw PackingError("tensor \(name) has shape \(found.shape), expected [\(expected)] (\(options.bits) bits, group \(options.group))")
            }
        }
    }

    /// The type of a linear's scales.
    func scaleType(_ tensor: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> ScaleType {
        switch description(tensor)?.type {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case nil: throw PackingError("tensor \(tensor) is missing")
        case let other?: throw PackingError("tensor \(tensor) is of type \(other.rawValue), expected F16 or BF16 or F32")
        }
    }
}

/// A compressed linear that cannot be read, or cannot be carried by a format.
public struct PackingError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
