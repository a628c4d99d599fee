// The arithmetic of a stage, which cannot be avoided.

extension Stage {
    /// Multiplications and additions of the linears and, where there is attention, of scores and contexts: the causal half, inside the window.
    ///
    /// - Parameter lengths: tokens of each sequence; those of an expert are its share of them, on average.
    public func operations(lengths: [Int]) -> Double {
        let weights = linears.reduce(0.0) { $0 + Double($1.rows) * Double($1.columns) }
        return effect.operations(weights: weights * tokenShare, lengths: lengths)
    }

    /// Those of some of the stage's pieces.
    public func operations(of pieces: some Sequence<Piece>, lengths: [Int]) -> Double {
        pieces.reduce(0) { $0 + $1.effect.operations(weights: Double($1.rows) * Double(columns) * tokenShare, lengths: lengths) }
    }
}

extension StageEffect {
    /// - Parameter weights: each of which a token meets once.
    fileprivate func operations(weights: Double, lengths: [Int]) -> Double {
        let products = 2 * weights * Double(lengths.reduce(0, +))
        let (perPair, window): (Double, Int?)
        switch self {
        case .attention(let attention): (perPair, window) = (4 * Double(attention.heads * attention.headSize), attention.window)
        case .planned(let operationsPerPair): (perPair, window) = (operationsPerPair, nil)
        default: return products
        }
        return lengths.reduce(products) { sum, length in
            let seen = min(window ?? length, length)
            // Token i sees min(i + 1, window) keys.
            let pairs = Double(seen) * Double(seen) / 2 + Double(length - seen) * Double(seen)
            return sum + perPair * pairs
        }
    }
}
