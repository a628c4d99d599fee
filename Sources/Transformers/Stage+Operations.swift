// The arithmetic of a stage, which cannot be avoided.

extension Stage {
    /// Multiplications and additions of the linears and, where there is attention, of scores and contexts: the causal half, inside the window.
    ///
    /// - Parameter lengths: tokens of each sequence.
    public func operations(lengths: [Int]) -> Double {
        let weights = linears.reduce(0.0) { $0 + Double($1.rows) * Double($1.columns) }
        let products = 2 * weights * Double(lengths.reduce(0, +))
        guard case .attention(let attention) = effect else { return products }
        let width = Double(attention.heads * attention.headSize)
        return lengths.reduce(products) { sum, length in
            let seen = min(attention.window ?? length, length)
            // Token i sees min(i + 1, window) keys.
            let pairs = Double(seen) * Double(seen) / 2 + Double(length - seen) * Double(seen)
            return sum + 4 * pairs * width
        }
    }
}
