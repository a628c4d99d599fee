// What a tensor is, without its data: name, element type and shape.

/// Name, type and shape of a tensor, and the bytes that these take.
public struct TensorDescription: Sendable, Equatable {
    public let name: String
    public let type: ElementType
    /// Row-major dimensions; `[]` is a scalar, and a dimension of 0 an empty tensor.
    public let shape: [Int]
    public let byteCount: Int

    /// - Throws: `.invalidRequest` if a dimension is negative, the size overflows 64 bits, or packed elements do not
    ///   fill whole bytes.
    public init(name: String, type: ElementType, shape: [Int]) throws(SafetensorsError) {
        do {
            self.byteCount = try type.byteCount(shape: shape)
        } catch {
            throw SafetensorsError(.invalidRequest, path: nil, "Tensor \"\(name)\": \(error.reason).")
        }
        self.name = name
        self.type = type
        self.shape = shape
    }

    /// For a size that has been checked already.
    init(name: String, type: ElementType, shape: [Int], byteCount: Int) {
        self.name = name
        self.type = type
        self.shape = shape
        self.byteCount = byteCount
    }

    /// Checks a range inside this tensor's bytes; nil means all of them.
    func checkedRange(_ range: Range<Int>?, path: String) throws(SafetensorsError) -> Range<Int> {
        let range = range ?? 0..<byteCount
        guard range.lowerBound >= 0, range.upperBound <= byteCount else {
            throw SafetensorsError(
                .invalidRequest, path: path,
                "Bytes \(range) were asked of tensor \"\(name)\", which has \(byteCount).")
        }
        return range
    }
}
