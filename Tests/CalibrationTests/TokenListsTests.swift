// Which tokens stand in for those that an expert lacks.

import Calibration
import Testing

@Suite struct TokenListsTests {
    /// The j-th of n tokens is number floor((2 j + 1) tokens / (2 n)) of the layer, in whichever batch that is.
    @Test func borrowedTokensAreEvenlySpacedWhateverTheBatches() {
        var generator = SystemRandomNumberGenerator()
        for tokens in [1, 2, 7, 64, 1000] {
            for missing in [0, 1, 2, tokens / 3, tokens - 1, tokens, 2 * tokens] {
                let count = min(missing, tokens)
                let expected = (0..<count).map { (2 * $0 + 1) * tokens / (2 * count) }
                for batches in 1...4 {
                    let cuts = [0] + (1..<batches).map { _ in Int.random(in: 0...tokens, using: &generator) }.sorted() + [tokens]
                    let borrowed = zip(cuts, cuts.dropFirst()).flatMap { start, end in
                        TokenLists.borrowed(missing, of: tokens, in: start..<end).map { Int($0) + start }
                    }
                    #expect(borrowed == expected, "\(missing) of \(tokens) in batches cut at \(cuts)")
                }
            }
        }
        #expect(TokenLists.borrowed(3, of: 0, in: 0..<0).isEmpty)
    }
}
