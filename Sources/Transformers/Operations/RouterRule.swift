// From a router's outputs to a token's experts and their weights.

internal import Glibc

/// How the outputs of a router's linear become a choice of experts, and what the experts' outputs weigh.
public struct RouterRule: Sendable, Hashable {
    /// What an expert's output of the linear becomes.
    package enum Scores: Sendable {
        /// Its share in the exponentials of all experts.
        case softmax
        /// 1 / (1 + exp(-x)), of each expert by itself.
        case sigmoid
    }

    /// Groups of neighbouring experts, of which a token's experts come from a few.
    package struct Groups: Sendable, Hashable {
        /// What decides between groups.
        package enum Measure: Sendable {
            case largest
            case sumOfTwoLargest
        }

        package let count: Int
        /// Of a token.
        package let chosen: Int
        package let measure: Measure
    }

    /// Experts of a token.
    let chosen: Int
    package internal(set) var scores = Scores.softmax
    /// Whether the weights of a token's experts are divided by their sum.
    package internal(set) var normalises: Bool
    /// A tensor that is added to the scores for the choice alone, [experts]; nil: nothing.
    package internal(set) var correction: String? = nil
    package internal(set) var groups: Groups? = nil
    /// Factor of the weights.
    package internal(set) var scale: Float = 1
    /// Whether an expert's input is multiplied by the sigmoid of its output of the linear, instead of its own output by the weight (Llama 4).
    var weighsInputs = false

    /// Chooses the experts of a token: those with the largest scores, the lower index first among equals.
    ///
    /// - Parameters:
    ///   - outputs: of the linear, for each of `count` experts.
    ///   - correction: the tensor of that name; empty where there is none.
    ///   - experts: of the token, ascending: [chosen]
    ///   - weights: theirs: [chosen]
    func choose(
        _ outputs: UnsafePointer<Float>, count: Int, correction: [Float], _ experts: UnsafeMutablePointer<Int32>, _ weights: UnsafeMutablePointer<Float>
    ) {
        switch scores {
        case .softmax:
            // Softmax keeps the order.
            let best = best(of: count) { outputs[$0] }
            let largest = outputs[best[0]]
            // exp(x_i - x_max) / sum over the experts that count. The largest of all is among the chosen, also where groups are.
            let terms = normalises ? best : Array(0..<count)
            let sum = terms.reduce(Float(0)) { $0 + exp(outputs[$1] - largest) }
            put(best, experts, weights) { exp(outputs[$0] - largest) / sum }
        case .sigmoid:
            let scores = (0..<count).map { 1 / (1 + exp(-outputs[$0])) }
            let best = best(of: count) { correction.isEmpty ? outputs[$0] : scores[$0] + correction[$0] }
            // As transformers has it: never 0.
            let sum = normalises ? best.reduce(Float(1e-20)) { $0 + scores[$1] } : 1
            put(best, experts, weights) { scores[$0] / sum }
        }
    }

    private func put(
        _ best: [Int], _ experts: UnsafeMutablePointer<Int32>, _ weights: UnsafeMutablePointer<Float>, _ weight: (Int) -> Float
    ) {
        for (index, expert) in best.sorted().enumerated() {
            experts[index] = Int32(expert)
            weights[index] = scale == 1 ? weight(expert) : weight(expert) * scale
        }
    }

    /// The experts of the best groups that have the largest keys, the best first.
    private func best(of count: Int, _ key: (Int) -> Float) -> [Int] {
        guard let groups else { return Self.largest(chosen, among: 0..<count, key) }
        let size = count / groups.count
        let measures = (0..<groups.count).map { group -> Float in
            let experts = group * size..<(group + 1) * size
            switch groups.measure {
            case .largest: return experts.map(key).max() ?? 0
            case .sumOfTwoLargest: return Self.largest(2, among: experts, key).reduce(0) { $0 + key($1) }
            }
        }
        let allowed = Self.largest(groups.chosen, among: 0..<groups.count) { measures[$0] }.sorted()
        return Self.largest(chosen, among: allowed.flatMap { $0 * size..<($0 + 1) * size }, key)
    }

    private static func largest(_ number: Int, among candidates: some Collection<Int>, _ key: (Int) -> Float) -> [Int] {
        var best: [(candidate: Int, key: Float)] = []
        for candidate in candidates {
            let own = key(candidate)
            let place = best.firstIndex { own > $0.key } ?? best.count
            guard place < number else { continue }
            best.insert((candidate, own), at: place)
            if best.count > number { best.removeLast() }
        }
        return best.map(\.candidate)
    }
}
