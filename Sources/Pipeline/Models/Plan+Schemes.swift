// What a plan says of types of numbers: how each is stored, and how clients compute with it.

internal import Compression
internal import Packing
internal import Recipes
public import Sharding

extension Plan {
    /// A line for each scheme of a type, in the order of the model; none where all linears have integers, or the result is dense.
    public var schemes: [String] {
        guard recipe.format == .compressedTensors else { return [] }
        var lines: [(scheme: String, text: String, count: Int)] = []
        for linear in compressedLinears {
            guard let type = linear.treatment?.type else { continue }
            if let place = lines.firstIndex(where: { $0.scheme == linear.scheme }) {
                lines[place].count += 1
            } else {
                lines.append((linear.scheme, "\(type.storedFormat ?? type.rawValue); \(type.arithmetic)", 1))
            }
        }
        return lines.map { "\($0.scheme) for \($0.count) linears, stored as \($0.text)" }
    }
}
