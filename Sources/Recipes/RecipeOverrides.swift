// Overrides from the command line: `--set path=value`.

internal import Yams

/// Parts of a path and values inside a value, far beyond what recipes have; beyond them recursion and aliases of aliases would not end.
private let (longestPath, largestValue) = (16, 10_000)

/// Replaces the value at a dotted path (`compress.bits`, `rules.0.group`) by a value written in YAML.
func applyOverride(_ text: String, to root: inout Node) throws(RecipeError) {
    let place = "--set \(text)"
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw RecipeError(place: place, message: "expected path=value, such as compress.bits=3")
    }
    let path = text[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard path.count <= longestPath else { throw RecipeError(place: place, message: "the path has \(path.count) parts; no key of a recipe lies so deep") }
    let source = String(text[text.index(after: equals)...])
    let value: Node
    do {
        var budget = largestValue
        value = try unmarked(try compose(yaml: source) ?? Node(""), &budget)
    } catch {
        throw RecipeError(place: place, message: "the value is not valid YAML: \(error)")
    }
    try replace(path[...], in: &root, by: value, place: place)
}

private func replace(_ path: ArraySlice<String>, in node: inout Node, by value: Node, place: String) throws(RecipeError) {
    guard let key = path.first else {
        node = value
        return
    }
    if let index = Int(key), var sequence = node.sequence {
        guard sequence.indices.contains(index) else {
            throw RecipeError(place: place, message: "index \(index) of a list of \(sequence.count)")
        }
        var child = sequence[index]
        try replace(path.dropFirst(), in: &child, by: value, place: place)
        sequence[index] = child
        node = .sequence(sequence)
        return
    }
    guard var mapping = node.mapping ?? (node.scalar?.string.isEmpty == true ? Node.Mapping([]) : nil) else {
        throw RecipeError(place: place, message: "`\(key)` cannot be set inside a single value or a list")
    }
    var child = mapping[Node(key)] ?? Node("")
    try replace(path.dropFirst(), in: &child, by: value, place: place)
    mapping[Node(key)] = child
    node = .mapping(mapping)
}

/// The node without line numbers, which would point into the recipe's file.
private func unmarked(_ node: Node, _ budget: inout Int) throws(OversizedValue) -> Node {
    budget -= 1
    guard budget >= 0 else { throw OversizedValue() }
    switch node {
    case .scalar(let scalar): return .scalar(Node.Scalar(scalar.string, scalar.tag, scalar.style))
    case .sequence(let sequence):
        var items: [Node] = []
        for item in sequence { items.append(try unmarked(item, &budget)) }
        return .sequence(Node.Sequence(items, sequence.tag, sequence.style))
    case .mapping(let mapping):
        var pairs: [(Node, Node)] = []
        for (key, value) in mapping { pairs.append((try unmarked(key, &budget), try unmarked(value, &budget))) }
        return .mapping(Node.Mapping(pairs, mapping.tag, mapping.style))
    case .alias: return node
    }
}

private struct OversizedValue: Error, CustomStringConvertible {
    var description: String { "it has more than \(largestValue) parts" }
}
