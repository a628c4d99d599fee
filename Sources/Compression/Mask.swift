// Choosing which weights of a tile are kept, where rows decide by themselves.

import LinearAlgebra

/// Which weights are kept: 1, or 0 for those that become zero.
struct Mask: @unchecked Sendable {
    /// [columns, lanes], as the column loop takes it.
    let kept: Matrix<UInt8>

    /// Keeps everything.
    init(columns: Int, lanes: Int) {
        kept = Matrix(repeating: 1, columns, lanes)
    }

    /// Keeps what scores above the threshold.
    /// - Parameter scores: [columns.count, lanes]
    func choose(_ columns: Range<Int>, _ scores: Matrix<Float>, above threshold: Float) {
        for (index, column) in columns.enumerated() {
            let (target, score) = (kept.row(column), scores.row(index))
            for lane in 0..<kept.columns { target[lane] = score[lane] > threshold ? 1 : 0 }
        }
    }

    /// Prunes the `pruned` lowest scores of every `of` columns of each row; of equal ones those further left.
    /// - Parameter scores: [columns.count, lanes]
    func choose(_ columns: Range<Int>, _ scores: Matrix<Float>, pruned: Int, of width: Int) {
        let lower = Matrix<Int32>(uninitialized: 1, kept.columns)
        for group in (0..<columns.count).cut(every: width) {
            for i in group {
                let score = scores.row(i)
                lower.base.update(repeating: 0, count: lower.count)
                for k in group where k != i {
                    let other = scores.row(k)
                    if k < i {
                        for lane in 0..<lower.count { lower.base[lane] &+= other[lane] <= score[lane] ? 1 : 0 }
                    } else {
                        for lane in 0..<lower.count { lower.base[lane] &+= other[lane] < score[lane] ? 1 : 0 }
                    }
                }
                let target = kept.row(columns.lowerBound + i)
                for lane in 0..<lower.count { target[lane] = lower.base[lane] >= Int32(pruned) ? 1 : 0 }
            }
        }
    }

    /// Prunes the `count` lowest scores of each of the first `rows` rows; of equal ones those further left.
    /// - Parameter scores: [columns, lanes]
    func chooseInRows(_ scores: Matrix<Float>, rows: Int, pruned count: Int) {
        for row in 0..<rows {
            let score = (0..<scores.rows).map { scores.base[$0 * scores.stride + row] }
            let order = score.indices.sorted { (score[$0], $0) < (score[$1], $1) }
            for column in order.prefix(count) { kept.base[column * kept.stride + row] = 0 }
        }
    }
}
