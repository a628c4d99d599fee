// Numbers for tests that are the same in every run.

import LinearAlgebra

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

func randomFloats(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(state: seed)
    return (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
}

/// [rows, columns]
func randomMatrix(_ rows: Int, _ columns: Int, seed: UInt64) -> Matrix<Float> {
    Matrix(randomFloats(rows * columns, seed: seed), rows, columns)
}

extension Matrix {
    func map<Result: BitwiseCopyable>(_ convert: (Element) -> Result) -> Matrix<Result> {
        Matrix<Result>(elements().map(convert), rows, columns)
    }

    /// The same elements as a window with gaps between its rows, whose surroundings hold `filling`.
    func asWindow(_ filling: Element) -> Matrix {
        let whole = Matrix(repeating: filling, rows + 2, columns + 5)
        let window = whole.rows(1..<rows + 1).columns(2..<columns + 2)
        window.assign(self)
        return window
    }
}
