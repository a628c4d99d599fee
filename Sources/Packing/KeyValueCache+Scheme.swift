// What config.json says of a cache of keys and values.

public import Compression
public import JSON

extension KeyValueCache {
    /// compressed-tensors' `kv_cache_scheme`.
    public var scheme: JSONValue { quantizationArguments(bits: 8, isFloat: true, strategy: strategy.rawValue) }
}
