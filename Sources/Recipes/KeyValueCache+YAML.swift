// What a recipe says of a server's cache of keys and values.

internal import Compression
internal import Yams

extension KeyValueCache {
    private static let keys = ["type", "strategy"]

    /// `kv_cache: fp8`, or a mapping; nil without it, and where it is false.
    init?(_ top: YAMLMapping, _ key: String) throws(RecipeError) {
        guard let node = top.node(key), node.bool != false else { return nil }
        guard node.mapping != nil else {
            guard let number = try top.choice(key, Number.self) else { return nil }
            self.init(number)
            return
        }
        guard let mapping = try top.mapping(key, keys: Self.keys) else { return nil }
        guard let number = try mapping.choice("type", Number.self) else { throw mapping.missing("type") }
        self.init(number, strategy: try mapping.choice("strategy") ?? .tensor)
    }
}
