// Runs of pairs while QMoE's dictionary is made, the most probable first.

/// A run of pairs and its probability.
struct PairRun {
    let probability: Double
    /// A pair and one more in each four bits, from the highest on; 0 after the last. As numbers, runs of one probability are in the order of their pairs.
    let pairs: UInt64

    var length: Int { (64 - pairs.trailingZeroBitCount + 3) / 4 }

    /// The pair at a place.
    func pair(_ place: Int) -> Int { Int(pairs >> UInt64(60 - 4 * place) & 15) - 1 }

    /// The pairs without the last one.
    var parent: UInt64 { pairs & ~(15 << UInt64(64 - 4 * length)) }

    /// - Parameter probability: of the pair.
    func followed(by pair: Int, _ probability: Double) -> PairRun {
        PairRun(probability: self.probability * probability, pairs: pairs | UInt64(pair + 1) << UInt64(60 - 4 * length))
    }

    func precedes(_ other: PairRun) -> Bool {
        probability == other.probability ? pairs < other.pairs : probability > other.probability
    }
}

/// A binary heap of runs.
struct PairRunHeap {
    private var runs: [PairRun] = []

    mutating func insert(_ run: PairRun) {
        runs.append(run)
        var place = runs.count - 1
        while place > 0, runs[place].precedes(runs[(place - 1) / 2]) {
            runs.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// - Precondition: there are some.
    mutating func removeFirst() -> PairRun {
        let first = runs[0], last = runs.removeLast()
        guard !runs.isEmpty else { return first }
        runs[0] = last
        var place = 0
        while true {
            let children = (2 * place + 1..<2 * place + 3).clamped(to: 0..<runs.count)
            guard let child = children.min(by: { runs[$0].precedes(runs[$1]) }), runs[child].precedes(runs[place]) else { return first }
            runs.swapAt(place, child)
            place = child
        }
    }
}
