// What a plan says of types of numbers: how each is stored, and how clients compute with it.

internal import Checkpoints
internal import Compression
internal import Models
internal import Packing
internal import Recipes
public import Sharding
internal import Transformers

extension Plan {
    /// A line for each scheme of a type, or with inputs in another, in the order of the model; none where all linears have integers alone, or the result is dense.
    public var schemes: [String] {
        if recipe.format == .gguf { return blockSchemes }
        guard recipe.format == .compressedTensors else { return [] }
        var lines: [(scheme: String, text: String, count: Int)] = []
        for linear in compressedLinears {
            guard let options = linear.options, options.number != .int || options.activations != .none else { continue }
            if let place = lines.firstIndex(where: { $0.scheme == linear.scheme }) {
                lines[place].count += 1
            } else {
                lines.append((linear.scheme, "\(options.number.storedFormat ?? options.number.rawValue); \(options.arithmetic)", 1))
            }
        }
        return lines.map { "\($0.scheme) for \($0.count) linears, stored as \($0.text)" } + cacheSchemes
    }

    private var cacheSchemes: [String] {
        guard let cache = recipe.cache else { return [] }
        let attention = cachedAttention, scales = cache.strategy == .head ? "a scale for each head" : "one scale"
        return [
            "keys and values that servers keep, in \(cache.number.rawValue) in \(attention.count) blocks: \(scales) of each from the largest of the calibration"
        ]
    }

    /// A line for each type of blocks, and one for each that takes another's place.
    private var blockSchemes: [String] {
        var lines: [(text: String, count: Int, columns: Int)] = []
        for linear in compressedLinears {
            guard let type = linear.treatment?.type else { continue }
            let text = type.rawValue + (linear.replacedType.map { " in place of \($0.rawValue)" } ?? "")
            if let place = lines.firstIndex(where: { $0.text == text }) {
                lines[place].count += 1
            } else {
                lines.append((text, 1, linear.linear.columns))
            }
        }
        return lines.map { line in
            let why = line.text.contains(" in place of ") ? ", whose columns (\(line.columns) of the first) are no multiple of 256" : ""
            return "\(line.text) for \(line.count) linears\(why)"
        }
    }
}
