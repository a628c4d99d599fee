// The codewords of QMoE: runs of ternary weights that 16 bits stand for.

/// The 65536 most probable runs of pairs of ternary weights, where a weight is 0 with probability 0.885 and either of the other two with half of the rest.
///
/// A pair is first + 3 * second of the codes 0 (zero), 1 (the number below zero) and 2 (that above); a run has 1 to 14 pairs. Runs are numbered from the most
/// probable on, those of one probability in the order of their pairs. Whatever begins a run of the dictionary is one of it too, so that runs are the nodes of a
/// tree. The dictionary is made anew in every process, and is the same bits everywhere: it is arithmetic of doubles in a fixed order.
///
/// Source: QMoE (Frantar and Alistarh, 2023), section 4; `sub1.py` for the order in which probabilities are multiplied.
public struct QMoEDictionary: Sendable {
    public static let shared = QMoEDictionary()

    /// Codewords, and the number of the tree's root.
    public static let count = 65536
    /// Pairs of the longest run.
    public static let mostPairs = 14
    /// Kinds of pairs.
    static let pairs = 9

    /// The next node by node and pair, -1 where the tree has none: [count + 1, 9]. Nodes are codewords, the last one is the root.
    public let tree: [Int32]
    /// Of each codeword two words: the number of its pairs in four bits, then seven of its pairs in four bits each, of which the lower two are the first
    /// weight. The second word has pairs 7 to 13, and the number too.
    public let decoding: [UInt32]

    private init() {
        let runs = Self.mostProbableRuns()
        var tree = [Int32](repeating: -1, count: (Self.count + 1) * Self.pairs)
        var numbers: [UInt64: Int] = [0: Self.count]
        numbers.reserveCapacity(Self.count + 1)
        decoding = runs.enumerated().flatMap { number, run -> [UInt32] in
            let length = run.length
            guard let parent = numbers[run.parent] else { preconditionFailure("a run whose beginning is none") }
            tree[parent * Self.pairs + run.pair(length - 1)] = Int32(number)
            numbers[run.pairs] = number
            var words = [UInt32(length), UInt32(length)]
            for place in 0..<length {
                let pair = UInt32(run.pair(place))
                words[place / 7] |= (pair % 3 | (pair / 3) << 2) << UInt32(4 + 4 * (place % 7))
            }
            return words
        }
        self.tree = tree
    }

    /// In the order of their numbers.
    private static func mostProbableRuns() -> [PairRun] {
        let zero = 0.885, weights = [zero, (1 - zero) / 2, (1 - zero) / 2]
        let probabilities = (0..<pairs).map { weights[$0 % 3] * weights[$0 / 3] }
        var waiting = PairRunHeap(), runs: [PairRun] = []
        runs.reserveCapacity(count)
        waiting.insert(PairRun(probability: 1, pairs: 0))
        while runs.count < count {
            let run = waiting.removeFirst()
            if run.pairs != 0 { runs.append(run) }
            guard run.length < mostPairs else { continue }
            for (pair, probability) in probabilities.enumerated() { waiting.insert(run.followed(by: pair, probability)) }
        }
        return runs
    }

    /// Writes the codewords of a row, little-endian: from the root as far down as its pairs lead, then from the root again. An odd last weight is paired with a zero.
    ///
    /// - Parameters:
    ///   - codes: 0, 1 or 2 each.
    ///   - codewords: room for one for each pair.
    /// - Returns: how many there are.
    package func encode(_ codes: UnsafePointer<UInt8>, count: Int, into codewords: UnsafeMutablePointer<UInt16>) -> Int {
        walk(codes, count: count) { place, node in codewords[place] = UInt16(truncatingIfNeeded: node).littleEndian }
    }

    /// How many codewords a row has.
    package func codewordCount(_ codes: UnsafePointer<UInt8>, count: Int) -> Int { walk(codes, count: count) { _, _ in } }

    @inline(__always)
    private func walk(_ codes: UnsafePointer<UInt8>, count: Int, _ emit: (_ place: Int, _ node: Int) -> Void) -> Int {
        guard count > 0 else { return 0 }
        return tree.withUnsafeBufferPointer { tree in
            let root = Self.count
            var (node, emitted) = (root, 0)
            func take(_ pair: Int) {
                let next = Int(tree[node * Self.pairs + pair])
                if next >= 0 {
                    node = next
                } else {
                    emit(emitted, node)
                    emitted += 1
                    node = Int(tree[root * Self.pairs + pair])
                }
            }
            for index in 0..<count / 2 { take(Int(codes[2 * index]) + 3 * Int(codes[2 * index + 1])) }
            if count % 2 == 1 { take(Int(codes[count - 1])) }
            emit(emitted, node)
            return emitted + 1
        }
    }

    /// The codes of a row.
    ///
    /// - Parameters:
    ///   - codewords: of the row, little-endian and not aligned.
    ///   - codes: room for `count`.
    /// - Returns: the weights that the codewords stand for. They are `count`, or one more where that is odd, unless the bytes are damaged; what is beyond it
    ///   is not written.
    package func decode(_ codewords: UnsafeRawBufferPointer, into codes: UnsafeMutablePointer<UInt8>, count: Int) -> Int {
        decoding.withUnsafeBufferPointer { decoding in
            var written = 0
            for index in 0..<codewords.count / 2 {
                let codeword = Int(UInt16(littleEndian: codewords.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
                let words = (decoding[2 * codeword], decoding[2 * codeword + 1])
                let length = Int(words.0 & 15)
                for place in 0..<length {
                    let pair = UInt8(truncatingIfNeeded: place < 7 ? words.0 >> UInt32(4 + 4 * place) : words.1 >> UInt32(4 * place - 24)) & 15
                    if written < count { codes[written] = pair & 3 }
                    if written + 1 < count { codes[written + 1] = pair >> 2 }
                    written += 2
                }
            }
            return written
        }
    }

    /// How many weights some codewords stand for.
    func weightCount(_ codewords: UnsafeRawBufferPointer) -> Int {
        (0..<codewords.count / 2).reduce(0) { sum, index in
            let codeword = Int(UInt16(littleEndian: codewords.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
            return sum + 2 * Int(decoding[2 * codeword] & 15)
        }
    }
}
