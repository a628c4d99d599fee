// The number at a given place of a sorted order, among numbers that lie in many places.

public import LinearAlgebra

/// Finds the number at place `rank` (from 0) among floats that are not negative, by counting digits of their bit patterns, the highest first.
///
/// Bit patterns of such floats are in the order of the floats. Counts are integers, so sums over places are exact in any order: the result
/// is that of sorting all numbers in one place. Signs are ignored.
///
///     while selection.result == nil { count every place's numbers, add the counts up, selection.narrow(counts) }
public struct RankSelection: Sendable {
    /// Counts of one digit.
    public static let binCount = 2048
    /// The digits' lowest bits and their masks.
    private static let digits: [(shift: UInt32, mask: UInt32)] = [(20, 0x7ff), (10, 0x3ff), (0, 0x3ff)]

    /// The place among the numbers that begin with `prefix`.
    private var rank: Int
    /// The digits found so far.
    private var prefix: UInt32 = 0
    private var digit = 0

    public init(rank: Int) {
        self.rank = rank
    }

    /// nil until all digits are known.
    public var result: Float? { digit == Self.digits.count ? Float(bitPattern: prefix) : nil }

    /// Adds to `counts`, of `binCount` elements, the numbers of this place by their next digit.
    public func count(_ numbers: Matrix<Float>, into counts: UnsafeMutablePointer<Int>) {
        let (shift, mask) = Self.digits[digit]
        for row in 0..<numbers.rows {
            let values = numbers.row(row)
            for column in 0..<numbers.columns {
                let bits = values[column].bitPattern & 0x7fff_ffff
                guard digit == 0 || bits >> Self.digits[digit - 1].shift == prefix else { continue }
                counts[Int(bits >> shift & mask)] += 1
            }
        }
    }

    /// Takes the sum of all places' counts.
    public mutating func narrow(_ counts: ArraySlice<Int>) {
        for (bin, count) in counts.enumerated() {
            guard rank >= count else {
                prefix = prefix << UInt32(Self.digits[digit].mask.nonzeroBitCount) | UInt32(bin)
                digit += 1
                return
            }
            rank -= count
        }
        preconditionFailure("place \(rank) after the last of the numbers")
    }
}

extension RankSelection {
    /// The number at `rank` among those of one place.
    static func number(at rank: Int, among numbers: Matrix<Float>) -> Float {
        var selection = RankSelection(rank: rank)
        while true {
            if let result = selection.result { return result }
            var counts = [Int](repeating: 0, count: binCount)
            counts.withUnsafeMutableBufferPointer { selection.count(numbers, into: $0.baseAddress!) }
            selection.narrow(counts[...])
        }
    }
}
