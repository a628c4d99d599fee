// Zero points that are packed along a linear's rows, as compressed-tensors and GPTQ both do it, one the transpose of the other.

import LinearAlgebra

/// Zero points as unsigned codes.
enum PackedZeros {
    /// zeros: [rows, groups] -> words: [groups, words of rows], or [words of rows, groups] when `transposed`.
    static func pack(_ zeros: [UInt8], rows: Int, groups: Int, bits: Int, transposed: Bool) -> [UInt32] {
        let words = BitStream.wordCount(rows, bits: bits)
        var result = [UInt32](repeating: 0, count: words * groups)
        var column = [UInt32](repeating: 0, count: words)
        zeros.withUnsafeBufferPointer { zeros in
            guard let base = zeros.baseAddress else { return }
            for group in 0..<groups {
                column.withUnsafeMutableBufferPointer { words in
                    BitStream.pack(base + group, step: groups, count: rows, bits: bits, into: words.baseAddress!)
                }
                for word in 0..<words { result[transposed ? word * groups + group : group * words + word] = column[word] }
            }
        }
        return result
    }

    /// The zero points of some rows: [rows.count, groups]
    ///
    /// - Parameter word: the word of a group and a place along the rows, little-endian.
    static func unpack(rows: Range<Int>, groups: Int, bits: Int, word: (_ group: Int, _ index: Int) -> UInt32) -> [UInt8] {
        // 32 codes end with a word at every width.
        let start = rows.lowerBound / 32 * 32
        let first = start / 32 * bits, count = rows.upperBound - start
        var words = [UInt32](repeating: 0, count: BitStream.wordCount(count, bits: bits))
        var codes = [UInt8](repeating: 0, count: count)
        var result = [UInt8](repeating: 0, count: rows.count * groups)
        for group in 0..<groups {
            for index in words.indices { words[index] = word(group, first + index) }
            BitStream.unpack(words, count: count, bits: bits, into: &codes)
            for row in 0..<rows.count { result[row * groups + group] = codes[rows.lowerBound - start + row] }
        }
        return result
    }
}
