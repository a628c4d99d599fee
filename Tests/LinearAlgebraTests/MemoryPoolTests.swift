// Large pieces of memory: used again, cut and joined, below the limit.

import Foundation
import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct MemoryPoolTests {
    private let mebibyte = 1 << 20

    @Test func freedMemoryIsUsedAgain() {
        let pool = MemoryPool(limit: 64 * mebibyte)
        let (first, isZero) = pool.take(3 * mebibyte)
        #expect(isZero)
        pool.give(first, 3 * mebibyte)
        #expect(pool.bytes == (used: 0, waiting: 3 * mebibyte))
        let again = pool.take(3 * mebibyte)
        #expect(again.base == first && !again.isZero)
        #expect(pool.bytes == (used: 3 * mebibyte, waiting: 0))
        pool.give(first, 3 * mebibyte)
        pool.keep(upTo: 0)
    }

    @Test func piecesAreCutAndJoined() {
        let pool = MemoryPool(limit: 64 * mebibyte)
        let whole = pool.take(8 * mebibyte).base
        pool.give(whole, 8 * mebibyte)
        let parts = [3, 1, 4].map { (pool.take($0 * mebibyte).base, $0 * mebibyte) }
        #expect(pool.bytes.waiting == 0)
        #expect(parts.allSatisfy { base, count in base >= whole && base + count <= whole + 8 * mebibyte })
        for (base, count) in parts { pool.give(base, count) }
        #expect(pool.take(8 * mebibyte).base == whole)
        pool.give(whole, 8 * mebibyte)
        pool.keep(upTo: 0)
    }

    /// The size is that of whole pages: a few bytes more are the same piece.
    @Test func sizesAreWholePages() {
        let pool = MemoryPool(limit: 64 * mebibyte)
        let base = pool.take(mebibyte + 1).base
        #expect(pool.bytes.used == mebibyte + Int(getpagesize()))
        pool.give(base, mebibyte + 1)
        #expect(pool.take(mebibyte + 100).base == base)
        pool.give(base, mebibyte + 100)
        pool.keep(upTo: 0)
    }

    @Test func whatDoesNotFitBesideThePiecesGoesBack() {
        let pool = MemoryPool(limit: 10 * mebibyte)
        let bases = [6, 4].map { pool.take($0 * mebibyte).base }
        pool.give(bases[0], 6 * mebibyte)
        #expect(pool.bytes == (used: 4 * mebibyte, waiting: 6 * mebibyte))
        // Seven fresh ones, or one beside the six: in either case no more than ten in all.
        let larger = pool.take(7 * mebibyte).base
        #expect(pool.bytes.used == 11 * mebibyte && pool.bytes.waiting == 0)
        pool.give(bases[1], 4 * mebibyte)
        #expect(pool.bytes.used + pool.bytes.waiting <= 10 * mebibyte)
        pool.give(larger, 7 * mebibyte)
        pool.keep(upTo: 2 * mebibyte)
        #expect(pool.bytes.waiting <= 2 * mebibyte)
        pool.keep(upTo: 0)
        #expect(pool.bytes == (used: 0, waiting: 0))
    }

    /// Triangles wait for those of their shape, and go back after the pieces: the smallest that is enough.
    @Test func trianglesWaitForTheirLike() {
        let small = MemoryPool.TriangleShape(order: 3072, elementByteCount: 8)  // 72 MiB
        let other = MemoryPool.TriangleShape(order: 6144, elementByteCount: 2)
        let large = MemoryPool.TriangleShape(order: 6144, elementByteCount: 8)
        let sizes = [small, other, large].map(\.usedByteCount), all = sizes.reduce(0, +)
        #expect(sizes[0] > 36 * mebibyte && sizes[0] < 72 * mebibyte && sizes[2] > 144 * mebibyte && sizes[2] < 200 * mebibyte)
        let pool = MemoryPool(limit: 1024 * mebibyte)
        let base = pool.takeTriangle(small)
        #expect(pool.bytes == (used: sizes[0], waiting: 0))
        pool.giveTriangle(base, small)
        #expect(pool.bytes == (used: 0, waiting: sizes[0]))
        let bases = [other, large].map { pool.takeTriangle($0) }
        #expect(!bases.contains(base) && pool.bytes == (used: all - sizes[0], waiting: sizes[0]))
        #expect(pool.takeTriangle(small) == base)
        for (base, shape) in zip([base] + bases, [small, other, large]) { pool.giveTriangle(base, shape) }
        let piece = pool.take(2 * mebibyte).base
        pool.give(piece, 2 * mebibyte)
        #expect(pool.bytes == (used: 0, waiting: all + 2 * mebibyte))
        pool.keep(upTo: all)
        #expect(pool.bytes.waiting == all)
        pool.keep(upTo: all - 1)
        #expect(pool.bytes.waiting == all - sizes[0])
        pool.keep(upTo: sizes[1])
        #expect(pool.bytes.waiting == sizes[1])
        pool.keep(upTo: 0)
        #expect(pool.bytes == (used: 0, waiting: 0))
    }

    /// Matrices in whole pages share none with another, however small they are; one without elements takes none.
    @Test func smallMatricesInPagesOfTheirOwn() {
        let size = UInt(getpagesize())
        let matrices = [1, 100, 4096, 4097, 100_000].map { Matrix<UInt8>(uninitializedPages: 1, $0) }
        var pages: Set<UInt> = []
        for matrix in matrices {
            let start = UInt(bitPattern: matrix.base)
            #expect(start % size == 0)
            for page in start / size...(start + UInt(matrix.count) - 1) / size { #expect(pages.insert(page).inserted) }
        }
        #expect(Matrix<UInt8>(uninitializedPages: 1, 0).elements().isEmpty)
    }

    /// Below its diagonal a triangle is zero, whatever earlier ones have written above theirs.
    @Test(arguments: [100, 4200]) func trianglesHaveZerosBelowTheDiagonal(order: Int) {
        for _ in 0..<2 {
            let matrix = Matrix<Float>(uninitializedUpperTriangle: order)  // of 4200: 67 MiB
            #expect(matrix.rows == order && matrix.columns == order)
            for row in 0..<order {
                #expect(UnsafeBufferPointer(start: matrix.row(row), count: row).allSatisfy { $0 == 0 })
                (matrix.row(row) + row).update(repeating: 1, count: order - row)
            }
        }
    }

    /// The system's view of what the pool says: pages that wait are mapped, those given back are not.
    @Test func givenBackMeansUnmapped() throws {
        /// Whether any line of the process's mappings covers the address.
        func isMapped(_ address: UnsafeMutableRawPointer) throws -> Bool {
            try String(contentsOfFile: "/proc/self/maps", encoding: .utf8).split(separator: "\n").contains { line in
                let bounds = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
                return (bounds[0]..<bounds[1]).contains(UInt(bitPattern: address))
            }
        }
        // An odd size, which leaves addresses that no other test's mapping is likely to fill in the same moment.
        let count = 1501 * mebibyte
        let pool = MemoryPool(limit: 2 * count)
        let base = pool.take(count).base
        pool.give(base, count)
        #expect(try isMapped(base + count / 2))
        pool.keep(upTo: 0)
        #expect(try !isMapped(base + count / 2))
    }

    /// Pieces of many sizes, taken and given in any order: none overlaps another, and the limit holds whenever something waits.
    @Test func piecesNeverOverlap() {
        var numbers = SeededGenerator(seed: 5)
        let limit = 200 * mebibyte
        let pool = MemoryPool(limit: limit)
        var pieces: [(base: UnsafeMutableRawPointer, count: Int, mark: UInt64)] = []
        for step in 0..<2000 {
            if pieces.count < 30, Bool.random(using: &numbers) || pieces.isEmpty {
                let count = Int.random(in: mebibyte...9 * mebibyte, using: &numbers)
                let (base, isZero) = pool.take(count)
                let ends = [base, base + (count / 8 - 1) * 8].map { $0.assumingMemoryBound(to: UInt64.self) }
                #expect(!isZero || ends.allSatisfy { $0.pointee == 0 })
                for end in ends { end.pointee = UInt64(step) }
                pieces.append((base, count, UInt64(step)))
            } else {
                let (base, count, mark) = pieces.remove(at: Int.random(in: pieces.indices, using: &numbers))
                #expect(base.load(as: UInt64.self) == mark && base.load(fromByteOffset: (count / 8 - 1) * 8, as: UInt64.self) == mark)
                pool.give(base, count)
            }
            let (used, waiting) = pool.bytes
            #expect(waiting == 0 || used + waiting <= limit)
        }
        for (base, count, _) in pieces { pool.give(base, count) }
        pool.keep(upTo: 0)
        #expect(pool.bytes == (used: 0, waiting: 0))
    }
}
