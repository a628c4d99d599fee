// Finds the scales and offsets of one block of columns for every row of a tile: those of its groups first, then what stores them.

internal import CKernels
import LinearAlgebra

/// Each group's A and B are fitted by weighted least squares to the codes of several ranges, and the best is kept. Then the block's 16-bit numbers are chosen
/// so that the largest A and B have the largest level, and each group takes the best of the levels next to its own. Codes come after.
///
/// Ranges by least squares over codes: ggml's quantizers (`ggml-quants.c`) do alike; the search over neighbouring levels is ours.
final class BlockSearch {
    private let rules: BlockRules
    private let grid: Grid
    private let rows: Int
    /// The group's A and B in hand, and the best so far: [1, rows].
    private let scales: Matrix<Float>
    private let offsets: Matrix<Float>
    private let errors: Matrix<Double>
    private let best: Matrix<Double>
    private let halves: Matrix<UInt16>
    /// Of a group: [group's columns, rows]
    private let values: Matrix<Float>
    /// The range of each row of the group: [1, rows]
    private let low: Matrix<Float>
    private let high: Matrix<Float>
    /// Scales that 16 bits cannot hold, and are the nearest that they can.
    private(set) var clampedScales = 0

    /// Shares of the range with which codes are tried.
    private static let shares: [Float] = (0..<18).map { 1.08 - 0.03 * Float($0) }

    /// - Parameter rows: a multiple of the kernels' lanes.
    init(_ rules: BlockRules, _ grid: Grid, rows: Int) {
        self.rules = rules
        self.grid = grid
        self.rows = rows
        scales = Matrix(uninitialized: 1, rows)
        offsets = Matrix(uninitialized: 1, rows)
        errors = Matrix(uninitialized: 1, rows)
        best = Matrix(uninitialized: 1, rows)
        halves = Matrix(uninitialized: 1, rows)
        values = Matrix(uninitialized: rules.groupColumns, rows)
        low = Matrix(uninitialized: 1, rows)
        high = Matrix(uninitialized: 1, rows)
    }

    /// - Parameters:
    ///   - block: [columns, rows], the block's weights in the order of quantization.
    ///   - groups: of each of its columns.
    ///   - weights: how much each column's error counts; nil: all the same.
    ///   - found: where the block's own numbers go, [1, rows], and those of its groups, [groups, rows].
    func find(_ block: Matrix<Float>, groups: [Int], weights: [Float]?, into found: BlockParts) {
        let columns = (0..<rules.groups).map { group in groups.indices.filter { groups[$0] == group } }
        for group in 0..<rules.groups {
            gather(block, columns[group])
            fit(columns[group].map { weights?[$0] ?? 1 }, found.scales.rows(group..<group + 1), found.offsets.rows(group..<group + 1))
        }
        store(found)
        guard grid != .minmax, rules.levels != .none else { return }
        for group in 0..<rules.groups {
            gather(block, columns[group])
            refine(group, columns[group].map { weights?[$0] ?? 1 }, found)
        }
    }

    private func gather(_ block: Matrix<Float>, _ columns: [Int]) {
        for (index, column) in columns.enumerated() { values.row(index).update(from: block.row(column), count: rows) }
    }

    // MARK: - A group by itself

    /// - Parameter bestScales, bestOffsets: [1, rows], the result.
    private func fit(_ weights: [Float], _ bestScales: Matrix<Float>, _ bestOffsets: Matrix<Float>) {
        measureRange()
        makeRanges(1, bestScales, bestOffsets)
        guard grid != .minmax else { return }
        measure(weights, bestScales, bestOffsets, into: best)
        for share in Self.shares {
            for turned in rules.zero == nil || rules.bits == 8 ? [Float(1)] : [1, -1] {
                makeRanges(share * turned, scales, offsets)
                cleave_fit_block(
                    values.base, values.rows, rows, weights, rules.kernelNumbers, offsetRule, Float(rules.zero ?? 0), scales.base, offsets.base)
                measure(weights, scales, offsets, into: errors)
                for row in 0..<rows where errors.base[row] < best.base[row] {
                    (best.base[row], bestScales.base[row], bestOffsets.base[row]) = (errors.base[row], scales.base[row], offsets.base[row])
                }
            }
        }
    }

    private var offsetRule: cleave_offset_rule {
        if rules.zero != nil { return cleave_offset_of_zero }
        return rules.levels == .none ? cleave_offset_free : cleave_offset_positive
    }

    private func measureRange() {
        low.base.update(from: values.row(0), count: rows)
        high.base.update(from: values.row(0), count: rows)
        for column in 1..<values.rows {
            let (weights, least, most) = (values.row(column), low.base, high.base)
            for row in 0..<rows {
                least[row] = min(least[row], weights[row])
                most[row] = max(most[row], weights[row])
            }
        }
    }

    /// A and B that spread the codes over a share of each row's range.
    private func makeRanges(_ share: Float, _ scales: Matrix<Float>, _ offsets: Matrix<Float>) {
        for row in 0..<rows {
            let (least, most) = (low.base[row], high.base[row])
            if let zero = rules.zero {
                // Code 0 reaches farther than the last one, so the scale has the sign that puts the largest magnitude there.
                let largest = rules.bits == 8 ? max(most, -least) : most > -least ? -most : -least
                scales.base[row] = share * largest / rules.reach
                offsets.base[row] = scales.base[row] * Float(zero)
            } else {
                // Offsets that are levels are none below 0.
                let lowest = rules.levels == .none ? least : min(least, 0)
                scales.base[row] = share * (most - lowest) / rules.reach
                offsets.base[row] = -lowest
            }
        }
    }

    private func measure(_ weights: [Float], _ scales: Matrix<Float>, _ offsets: Matrix<Float>, into errors: Matrix<Double>) {
        cleave_block_error(values.base, values.rows, rows, weights, rules.kernelNumbers, scales.base, offsets.base, errors.base)
    }

    // MARK: - What stores a block

    /// Rounds a block's numbers to what stores them, and its groups' to levels of these.
    private func store(_ found: BlockParts) {
        let mostOfLevels: (first: Float, least: Float, most: Float)
        switch rules.levels {
        case .none: mostOfLevels = (1, 1, 1)
        case .unsigned(let most): mostOfLevels = (Float(most), 0, Float(most))
        case .signed(let most): mostOfLevels = (Float(-most - 1), Float(-most - 1), Float(most))
        }
        makeLevels(found.scales, mostOfLevels, found.blockScales, found.levels)
        if rules.zero == nil { makeLevels(found.offsets, mostOfLevels, found.blockOffsets, found.offsetLevels) }
        for group in 0..<rules.groups { for row in 0..<rows { found.update(group, row, rules) } }
    }

    /// - Parameters:
    ///   - wanted: [groups, rows]
    ///   - stored: [1, rows], the block's; levels: [groups, rows].
    private func makeLevels(_ wanted: Matrix<Float>, _ range: (first: Float, least: Float, most: Float), _ stored: Matrix<Float>, _ levels: Matrix<Float>) {
        for row in 0..<rows {
            var largest: Float = 0
            for group in 0..<rules.groups where wanted[group, row].magnitude > largest.magnitude { largest = wanted[group, row] }
            let number = largest / range.first, most = ScaleType.f16.normalRange.most
            if number.magnitude > most { clampedScales += 1 }
            stored.base[row] = min(max(number, -most), most)
        }
        ScaleType.f16.round(stored, halves)
        for group in 0..<rules.groups {
            for row in 0..<rows {
                let number = stored.base[row]
                let level = rules.levels == .none ? 1 : number == 0 ? 0 : (wanted[group, row] / number).rounded(.toNearestOrEven)
                levels[group, row] = min(max(level, range.least), range.most)
            }
        }
    }

    /// Gives a group's rows the best of the levels next to theirs.
    private func refine(_ group: Int, _ weights: [Float], _ found: BlockParts) {
        let (levels, offsetLevels) = (found.levels.rows(group..<group + 1).copy(), found.offsetLevels.rows(group..<group + 1).copy())
        let (bestLevels, bestOffsetLevels) = (levels.copy(), offsetLevels.copy())
        let (least, most): (Float, Float)
        switch rules.levels {
        case .none: return
        case .unsigned(let last): (least, most) = (0, Float(last))
        case .signed(let last): (least, most) = (Float(-last - 1), Float(last))
        }
        measure(weights, found.scales.rows(group..<group + 1), found.offsets.rows(group..<group + 1), into: best)
        for step: Float in [0, -1, 1] {
            for offsetStep: Float in rules.zero == nil ? [0, -1, 1] : [0] where step != 0 || offsetStep != 0 {
                for row in 0..<rows {
                    found.levels[group, row] = min(max(levels.base[row] + step, least), most)
                    if rules.zero == nil { found.offsetLevels[group, row] = min(max(offsetLevels.base[row] + offsetStep, least), most) }
                    found.update(group, row, rules)
                }
                measure(weights, found.scales.rows(group..<group + 1), found.offsets.rows(group..<group + 1), into: errors)
                for row in 0..<rows where errors.base[row] < best.base[row] {
                    (best.base[row], bestLevels.base[row], bestOffsetLevels.base[row]) =
                        (errors.base[row], found.levels[group, row], found.offsetLevels[group, row])
                }
            }
        }
        for row in 0..<rows {
            (found.levels[group, row], found.offsetLevels[group, row]) = (bestLevels.base[row], bestOffsetLevels.base[row])
            found.update(group, row, rules)
        }
    }
}
