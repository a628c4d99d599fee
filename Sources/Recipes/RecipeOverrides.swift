// Overrides from the command line: `--set path=value`.

internal import Yams

/// Parts of a path, far beyond what recipes have: values nest as deep as their path is long.
private let longestPath = 16

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
        value = unmarked(try composed(source) ?? Node(""))
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
private func unmarked(_ node: Node) -> Node {
    switch node {
    case .scalar(let scalar): .scalar(Node.Scalar(scalar.string, scalar.tag, scalar.style))
    case .sequence(let sequence): .sequence(Node.Sequence(sequence.map(unmarked), sequence.tag, sequence.style))
    case .mapping(let mapping): .mapping(Node.Mapping(mapping.map { (unmarked($0.key), unmarked($0.value)) }, mapping.tag, mapping.style))
    case .alias(let alias): .alias(alias)
    }
}
