// X^T X over batches: the same bits in any order, and close to fp64.

import Foundation
import LinearAlgebra
import Testing

@Suite struct GramTests {
    private static let columns = [1, 5, 64, ColumnBlocks.mostColumns, ColumnBlocks.mostColumns + 3]

    /// Batches [tokens, columns] whose magnitudes differ by orders.
    private func batches(_ columns: Int) -> [Matrix<Float>] {
        [1, 4, 3, 7, 2].enumerated().map { index, tokens in
            let scale = Float([1, 1e-4, 30, 1, 1e3][index])
            return randomMatrix(tokens, columns, seed: UInt64(index + 1)).map { $0 * scale }
        }
    }

    private func sum(_ batches: [Matrix<Float>], maxMagnitude: Float? = nil) -> Matrix<Double> {
        let largest = maxMagnitude ?? batches.map { LinearAlgebra.maxMagnitude($0) }.max() ?? 0
        let gram = GramSum(columns: batches[0].columns, tokens: batches.reduce(0) { $0 + $1.rows }, maxMagnitude: largest)
        for batch in batches { gram.add(batch) }
        return gram.matrix()
    }

    @Test(arguments: columns)
    func anyOrderGivesTheSameBits(columns: Int) {
        let batches = batches(columns)
        let expected = sum(batches).elements().map(\.bitPattern)
        for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 0, 3, 2]] {
            #expect(sum(order.map { batches[$0] }).elements().map(\.bitPattern) == expected)
        }
    }

    @Test(arguments: columns)
    func partsAddUpToTheSameBits(columns: Int) {
        let batches = batches(columns)
        let (tokens, largest) = (batches.reduce(0) { $0 + $1.rows }, batches.map { maxMagnitude($0) }.max() ?? 0)
        let parts = [[0, 3], [1], [], [4, 2]].map { part in
            let gram = GramSum(columns: columns, tokens: tokens, maxMagnitude: largest)
            for index in part { gram.add(batches[index]) }
            return gram.matrix().elements()
        }
        for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
            let total = order.map { parts[$0] }.reduce([Double](repeating: 0, count: columns * columns)) { zip($0, $1).map { $0 + $1 } }
            #expect(total.map(\.bitPattern) == sum(batches).elements().map(\.bitPattern))
        }
    }

    @Test(arguments: columns)
    func isCloseToDoubles(columns: Int) {
        let batches = batches(columns)
        let found = sum(batches)
        let (tokens, largest) = (Double(batches.reduce(0) { $0 + $1.rows }), Double(batches.map { maxMagnitude($0) }.max() ?? 0))
        let expected = Matrix<Double>(repeating: 0, columns, columns)
        // The error of each fp32 product, and half a quantum of n m^2 / 2^52 a batch.
        let bound = Matrix<Double>(repeating: tokens * largest * largest * 0x1p-51 * Double(batches.count), columns, columns)
        for batch in batches {
            let x = batch.map { Double($0) }
            multiply(x, x, transposeA: true, into: expected, beta: 1)
            let magnitudes = x.map { abs($0) }
            multiply(magnitudes, magnitudes, transposeA: true, into: bound, alpha: 0x1p-24 * Double(batch.rows), beta: 1)
        }
        for i in 0..<columns {
            #expect((i..<columns).allSatisfy { abs(found[i, $0] - expected[i, $0]) <= bound[i, $0] }, "row \(i)")
        }
    }

    /// Few blocks, and so many that operands are packed.
    @Test(arguments: [70, 3 * ColumnBlocks.mostColumns + 70])
    func bf16SumsAreThoseOfTheSameNumbers(columns: Int) {
        let batches = batches(columns).map { $0.map { BFloat16($0) } }
        let largest = batches.map { maxMagnitude($0) }.max() ?? 0
        let gram = GramSum(columns: columns, tokens: 17, maxMagnitude: largest)
        for batch in batches { gram.add(batch) }
        let (found, expected) = (gram.matrix(), sum(batches.map { $0.map(\.float) }))
        for i in 0..<columns {
            #expect((i..<columns).allSatisfy { abs(found[i, $0] - expected[i, $0]) <= 1e-5 * (expected[i, i] * expected[$0, $0]).squareRoot() }, "row \(i)")
        }
        let diagonal = GramSum(diagonalOf: columns, tokens: 17, maxMagnitude: largest)
        for batch in batches { diagonal.add(batch) }
        for columns in ColumnBlocks.parts(of: columns, blocks: 2) {
            let part = GramSum(columns: gram.part.count, part: columns, tokens: 17, maxMagnitude: largest, diagonal: diagonal)
            for batch in batches { part.add(batch) }
            #expect(part.matrix().elements() == found.rows(0..<part.part.upperBound).columns(part.part).elements())
        }
    }

    @Test(arguments: [1, 31, 128, 129, 576, 1536, 4096 + 7])
    func blocksCoverTheUpperTriangleOnce(columns: Int) {
        var covered = [[Bool]](repeating: [Bool](repeating: false, count: columns), count: columns)
        var (isOnce, area) = (true, 0)
        ColumnBlocks.forEach(ofTriangle: columns) { rows, columns in
            area += rows.count * columns.count
            #expect(max(rows.count, columns.count) <= ColumnBlocks.mostColumns)
            for row in rows {
                for column in columns {
                    isOnce = isOnce && !covered[row][column]
                    covered[row][column] = true
                }
            }
        }
        #expect(isOnce)
        #expect((0..<columns).allSatisfy { row in (row..<columns).allSatisfy { covered[row][$0] } })
        // Little is computed below the diagonal.
        #expect(area <= columns * (columns + ColumnBlocks.diagonalColumns) / 2 + columns)
    }

    @Test func blocksBelowTheDiagonalStayZero() {
        let columns = ColumnBlocks.mostColumns + 3
        let found = sum(batches(columns))
        #expect((columns / 2 + 32..<columns).allSatisfy { row in (0..<columns / 2).allSatisfy { found[row, $0] == 0 } })
    }

    /// Some columns at a time, with or without the diagonal's blocks given, have the bits of the whole.
    @Test(arguments: [1, 2], [false, true])
    func partsHaveTheBitsOfTheWhole(blocks: Int, diagonalFirst: Bool) {
        let columns = 2 * ColumnBlocks.mostColumns + 70
        let batches = batches(columns)
        let (tokens, largest) = (batches.reduce(0) { $0 + $1.rows }, batches.map { maxMagnitude($0) }.max() ?? 0)
        let whole = GramSum(columns: columns, tokens: tokens, maxMagnitude: largest)
        let diagonal = GramSum(diagonalOf: columns, tokens: tokens, maxMagnitude: largest)
        for batch in batches {
            whole.add(batch)
            diagonal.add(batch)
        }
        #expect(diagonal.diagonal() == whole.diagonal() && whole.diagonal().allSatisfy { $0 > 0 })
        var operations = diagonalFirst ? diagonal.operations(tokens: 10) : 0
        #expect(ColumnBlocks.parts(of: columns, blocks: blocks).count == (blocks == 1 ? 3 : 2))
        for columns in ColumnBlocks.parts(of: columns, blocks: blocks) {
            let part = GramSum(
                columns: whole.part.count, part: columns, tokens: tokens, maxMagnitude: largest, diagonal: diagonalFirst ? diagonal : nil)
            for batch in batches { part.add(batch) }
            operations += part.operations(tokens: 10)
            #expect(part.matrix().elements() == whole.matrix().rows(0..<part.part.upperBound).columns(part.part).elements())
            #expect(part.diagonal() == Array(whole.diagonal()[part.part]))
        }
        #expect(operations == whole.operations(tokens: 10) && operations == 10 * Double(columns * columns))
    }

    /// Several sums that share the blocks of the same batches make the whole together, each of its elements in one of them, and share the work evenly.
    @Test(arguments: [2, 3, 5])
    func sharesAddUpToTheWhole(count: Int) {
        let columns = 2 * ColumnBlocks.mostColumns + 70
        let batches = batches(columns)
        let (tokens, largest) = (batches.reduce(0) { $0 + $1.rows }, batches.map { maxMagnitude($0) }.max() ?? 0)
        let whole = GramSum(columns: columns, tokens: tokens, maxMagnitude: largest)
        let shares = (0..<count).map { GramSum(columns: columns, tokens: tokens, maxMagnitude: largest, share: ($0, count)) }
        let diagonals = (0..<count).map { GramSum(diagonalOf: columns, tokens: tokens, maxMagnitude: largest, share: ($0, count)) }
        for batch in batches {
            whole.add(batch)
            for sum in shares + diagonals { sum.add(batch) }
        }
        let elements = shares.map { $0.matrix().elements() }
        for (index, expected) in whole.matrix().elements().enumerated() where expected != 0 {
            guard elements.map({ $0[index] }).filter({ $0 != 0 }) == [expected] else {
                Issue.record("element \(index)")
                return
            }
        }
        #expect(whole.diagonal() == whole.part.map { column in diagonals.reduce(0) { $0 + $1.diagonal()[column] } })
        #expect(shares.reduce(0) { $0 + $1.operations(tokens: 1) } == whole.operations(tokens: 1))
    }

    /// Several processes that add to one sum in memory that they share; here, threads.
    @Test(arguments: [1, 2, 5], [nil, 0..<2, 1..<3] as [Range<Int>?])
    func sumsInSharedPages(count: Int, parts: Range<Int>?) {
        let columns = 2 * ColumnBlocks.mostColumns + 70, ranges = ColumnBlocks.ranges(of: columns)
        let part = parts.map { ranges[$0.lowerBound].lowerBound..<ranges[$0.upperBound - 1].upperBound }
        let batches = (0..<7).flatMap { _ in self.batches(columns) }
        let (tokens, largest) = (batches.reduce(0) { $0 + $1.rows }, batches.map { maxMagnitude($0) }.max() ?? 0)
        func sums(_ place: (index: Int, count: Int)? = nil, _ whole: Memory? = nil, _ diagonal: Memory? = nil) -> [GramSum] {
            let pages = [whole, diagonal].map { memory in place.flatMap { place in memory.map { $0.pages(place) } } }
            let known = GramSum(diagonalOf: columns, tokens: tokens, maxMagnitude: largest, in: pages[1])
            return [GramSum(columns: columns, part: part, tokens: tokens, maxMagnitude: largest, in: pages[0]), known]
        }
        let (whole, diagonal) = (
            Memory(GramSum.sharedByteCount(columns: columns, part: part)), Memory(GramSum.sharedByteCount(diagonalOf: columns))
        )
        let processes = (0..<count).map { sums(($0, count), whole, diagonal) }, expected = sums()
        parallelFor(count) { process in
            for index in batches.indices where index % count == process { for sum in processes[process] { sum.add(batches[index]) } }
        }
        for batch in batches { for sum in expected { sum.add(batch) } }
        for found in processes {
            for (found, expected) in zip(found, expected) { #expect(found.matrix().elements() == expected.matrix().elements()) }
            #expect(found[1].diagonal() == expected[1].diagonal())
        }
        // What is known of the diagonal is copied once and not added again.
        let others = Memory(GramSum.sharedByteCount(columns: columns, part: part))
        let completed = (0..<count).map {
            GramSum(
                columns: columns, part: part, tokens: tokens, maxMagnitude: largest, diagonal: processes[$0][1], in: others.pages(($0, count)))
        }
        parallelFor(count) { process in for index in batches.indices where index % count == process { completed[process].add(batches[index]) } }
        #expect(completed.allSatisfy { $0.matrix().elements() == expected[0].matrix().elements() })
    }

    /// Zeroed memory for several sums.
    private final class Memory: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        let byteCount: Int

        init(_ byteCount: Int) {
            base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
            memset(base, 0, byteCount)
            self.byteCount = byteCount
        }

        func pages(_ place: (index: Int, count: Int)) -> SharedPages { SharedPages(base, byteCount: byteCount, place: place, owner: self) }

        deinit { base.deallocate() }
    }

    @Test(arguments: [2, 4, 8])
    func sharesAreEven(count: Int) {
        let columns = 4 * ColumnBlocks.mostColumns
        let operations = (0..<count).map { GramSum(columns: columns, tokens: 1, maxMagnitude: 1, share: ($0, count)).operations(tokens: 1) }
        #expect(operations.reduce(0, +) == Double(columns * columns))
        #expect((operations.max() ?? 0) < 1.15 * Double(columns * columns) / Double(count), "\(operations)")
    }

    @Test func activationsOfZero() {
        #expect(sum([Matrix(repeating: 0, 3, 4)]).elements() == [Double](repeating: 0, count: 16))
    }

    @Test(arguments: [Float.leastNonzeroMagnitude, 1e-30, 1e30])
    func extremeMagnitudesStayFinite(scale: Float) {
        let x = randomMatrix(4, 6, seed: 9).map { $0 * scale }
        // The products themselves may leave fp32's range, but the quantum must not.
        let gram = GramSum(columns: 6, tokens: 4, maxMagnitude: maxMagnitude(x))
        if scale < 1 {
            gram.add(x)
            #expect(gram.matrix().elements().allSatisfy { $0.isFinite })
        }
    }
}
