// A tensor of a GGUF file without its data.

/// Name, type and shape of a tensor.
public struct GGUFTensor: Sendable, Equatable {
    public let name: String
    public let type: GGMLType
    /// Row-major: rows before columns, as elsewhere in Cleave; the file has them the other way around.
    public let shape: [Int]
    public let byteCount: Int

    /// - Throws: `GGUFError` for rows that are no whole blocks of the type, and sizes that 64 bits do not count.
    public init(name: String, type: GGMLType, shape: [Int]) throws(GGUFError) {
        let (elements, bytes) = type.block
        guard let columns = shape.last, (1...4).contains(shape.count), shape.allSatisfy({ $0 >= 0 }) else {
            throw GGUFError("tensor \(name) has shape \(shape), and GGUF has 1 to 4 dimensions")
        }
        guard columns % elements == 0 else {
            throw GGUFError("tensor \(name) has rows of \(columns) elements, which are no whole blocks of \(type.name) (\(elements))")
        }
        var count = columns / elements
        // A row first: its bytes are counted also where there are none.
        for factor in [bytes] + shape.dropLast() {
            let (product, overflow) = count.multipliedReportingOverflow(by: factor)
            guard !overflow else { throw GGUFError("tensor \(name) of shape \(shape) is larger than any file") }
            count = product
        }
        self.name = name
        self.type = type
        self.shape = shape
        byteCount = count
    }

    /// Bytes of a row.
    public var rowBytes: Int { shape[shape.count - 1] / type.block.elements * type.block.bytes }
}

/// A tensor of a type that is not known here: how many bytes it has cannot be said.
public struct UnknownTensor: Sendable, Equatable {
    public let name: String
    /// ggml's number of the type.
    public let type: UInt32
    public let shape: [Int]
}

/// A tensor and where its data lies.
public struct PlacedTensor: Sendable {
    public let tensor: GGUFTensor
    /// Of the file.
    public let bytes: Range<Int>
}

/// What a GGUF file cannot hold, or breaks of the format's rules.
public struct GGUFError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
