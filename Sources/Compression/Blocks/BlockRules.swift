// Types of numbers in blocks of columns, as GGUF has them: groups of a block share a scale and an offset, which are small integers times those of the block.

internal import CKernels

/// A type of blocks: a weight is A q - B, where q is a code or what it stands for, A = scale * level and B = offset * offset's level.
///
/// Source: ggml, `ggml-common.h` for the blocks, `ggml-quants.c` for how they are read.
public struct BlockRules: Sendable, Equatable {
    /// What A and B of a group follow from.
    public enum Levels: Sendable, Equatable {
        /// A block has one group, and A and B are its own 16-bit numbers.
        case none
        /// Integers from 0 on times the block's 16-bit numbers; B, like A, is never negative.
        case unsigned(most: Int)
        /// An integer from -most - 1 to most times the block's 16-bit number.
        case signed(most: Int)
    }

    /// Of a code.
    public let bits: Int
    /// Columns of a block.
    public let columns: Int
    /// Columns that share A and B.
    public let groupColumns: Int
    /// The code that stands for 0, so that B = zero A; nil where B is free.
    public let zero: Int?
    public let levels: Levels
    /// What codes stand for, where not for themselves.
    private let table: [Float]?

    init(bits: Int, columns: Int, groupColumns: Int, zero: Int?, levels: Levels, table: [Float]? = nil) {
        (self.bits, self.columns, self.groupColumns, self.zero, self.levels, self.table) = (bits, columns, groupColumns, zero, levels, table)
    }

    /// What the scale multiplies, by code.
    public var numbers: [Float] { table ?? (0...maxCode).map { Float($0) } }

    /// The numbers as the kernels know them.
    var kernelNumbers: cleave_numbers {
        cleave_numbers(type: Int32(table == nil ? cleave_blocks : cleave_iq4_nl_blocks), max_code: Float(maxCode))
    }

    public var maxCode: Int { (1 << bits) - 1 }

    /// Groups of a block.
    public var groups: Int { columns / groupColumns }

    /// Bytes of a block as it is stored: codes, 16-bit numbers, levels.
    public var byteCount: Int {
        let bitsOfLevel: Int
        switch levels {
        case .none: bitsOfLevel = 0
        case .unsigned(let most): bitsOfLevel = Int.bitWidth - most.leadingZeroBitCount
        case .signed(let most): bitsOfLevel = 1 + Int.bitWidth - most.leadingZeroBitCount
        }
        let numbers = zero == nil ? 2 : 1
        return (columns * bits + numbers * (16 + groups * bitsOfLevel)) / 8
    }

    /// Bytes of a row of so many columns.
    public func rowBytes(columns: Int) -> Int { columns / self.columns * byteCount }

    /// What A is with the whole range: a block of `q8_0` leaves its last code unused, others use theirs for the weight of largest magnitude.
    var reach: Float { table.map { -$0[0] } ?? (bits == 8 ? 127 : Float(zero ?? maxCode)) }

    static let q8_0 = BlockRules(bits: 8, columns: 32, groupColumns: 32, zero: 128, levels: .none)
    static let q5_1 = BlockRules(bits: 5, columns: 32, groupColumns: 32, zero: nil, levels: .none)
    static let q5_0 = BlockRules(bits: 5, columns: 32, groupColumns: 32, zero: 16, levels: .none)
    static let q4_1 = BlockRules(bits: 4, columns: 32, groupColumns: 32, zero: nil, levels: .none)
    static let q4_0 = BlockRules(bits: 4, columns: 32, groupColumns: 32, zero: 8, levels: .none)
    static let q6_k = BlockRules(bits: 6, columns: 256, groupColumns: 16, zero: 32, levels: .signed(most: 127))
    static let q5_k = BlockRules(bits: 5, columns: 256, groupColumns: 32, zero: nil, levels: .unsigned(most: 63))
    static let q4_k = BlockRules(bits: 4, columns: 256, groupColumns: 32, zero: nil, levels: .unsigned(most: 63))
    static let q3_k = BlockRules(bits: 3, columns: 256, groupColumns: 16, zero: 4, levels: .signed(most: 31))
    static let q2_k = BlockRules(bits: 2, columns: 256, groupColumns: 16, zero: nil, levels: .unsigned(most: 15))
    /// No code stands for 0, and B is 0: what counts from a zero code of 0.
    static let iq4_nl = BlockRules(
        bits: 4, columns: 32, groupColumns: 32, zero: 0, levels: .none,
        table: withUnsafeBytes(of: cleave_iq4_nl_numbers) { Array($0.bindMemory(to: Float.self)) })
}
