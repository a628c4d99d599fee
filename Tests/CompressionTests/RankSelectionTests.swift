// Selection by counting against sorting.

import Compression
import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct RankSelectionTests {
    /// Numbers with ties, of all magnitudes, in windows with gaps between their rows.
    private static let parts: [Matrix<Float>] = {
        var generator = SeededGenerator(seed: 9)
        return [(5, 40), (1, 1), (3, 64), (0, 8)].map { rows, columns in
            let values = (0..<rows * (columns + 3)).map { _ in
                let value = Float.random(in: 0...1, using: &generator)
                switch UInt8.random(in: 0..<6, using: &generator) {
                case 0: return Float(0)
                case 1: return value * 1e-30 * 1e-12
                case 2: return value * 1e38
                case 3: return Float(0.5)
                case 4: return Float.infinity
                default: return value
                }
            }
            return Matrix(values, rows, columns + 3).columns(0..<columns)
        }
    }()

    @Test func everyPlaceIsThatOfTheSortedNumbers() {
        let sorted = Self.parts.flatMap { $0.elements() }.sorted()
        for rank in sorted.indices {
            var selection = RankSelection(rank: rank)
            while selection.result == nil {
                var counts = [Int](repeating: 0, count: RankSelection.binCount)
                for part in Self.parts { counts.withUnsafeMutableBufferPointer { selection.count(part, into: $0.baseAddress!) } }
                selection.narrow(counts[...])
            }
            #expect(selection.result == sorted[rank])
        }
    }

    @Test func shareOfACount() {
        func rank(_ count: Int, _ share: Double) -> Int { PruningOptions(sparsity: .share(share), scope: .layer).thresholdRank(among: count) }
        #expect(rank(10, 0.5) == 5 && rank(10, 0.99) == 9 && rank(1, 0.9) == 0 && rank(7, 0.5) == 3)
    }

    @Test(arguments: ["0.5", "2:4", "1:3", "0.125"])
    func sparsitiesAreRead(text: String) { #expect(Sparsity(text)?.description == text) }

    @Test(arguments: ["0", "1", "1.5", "-0.5", "nan", "4:4", "0:4", "5:4", "2:", ":4", "2:4:8", "", "half", "99999999999999999999:4", "-1:4"])
    func otherTextsAreNone(text: String) { #expect(Sparsity(text) == nil) }
}
