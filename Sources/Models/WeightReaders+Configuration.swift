// Where config.json says how weights are stored, and in which type the model has them.

internal import Compression
internal import Failures
package import JSON
package import Packing

extension WeightReaders {
    /// Keys that say how weights are compressed: the usual one, and that of the first versions of compressed-tensors.
    package static let keys = ["quantization_config", "compression_config"]

    /// The object of a language model in a wrapper for several kinds of input, which may hold the key in its place.
    private static let wrapped = "text_config"

    /// nil when config.json has no such key.
    /// - Parameter source: the model's directory, for messages.
    init?(configuration: JSONValue, source: String) throws(PipelineError) {
        let places = [configuration] + (configuration[Self.wrapped].map { [$0] } ?? [])
        let found = places.lazy.flatMap { place in Self.keys.compactMap { place[$0] } }.first { if case .null = $0 { false } else { true } }
        guard let found else { return nil }
        do {
            self = try WeightReaders(found)
        } catch {
            throw PipelineError(.badInput, "\(source): \(error)")
        }
    }

    /// config.json without what it says of its weights' form.
    package static func removed(from configuration: JSONValue) -> JSONValue {
        func plain(_ value: JSONValue) -> JSONValue { keys.reduce(value) { $0[$1] == nil ? $0 : $0.removing($1) } }
        let value = plain(configuration)
        return value[wrapped].map { $0.object == nil ? value : value.setting(wrapped, plain($0)) } ?? value
    }

    private static let typeKeys = ["dtype", "torch_dtype"]

    /// config.json with another type of the model's numbers.
    package static func computing(in type: String, _ configuration: JSONValue) -> JSONValue {
        func typed(_ value: JSONValue) -> JSONValue { typeKeys.reduce(value) { $0[$1] == nil ? $0 : $0.setting($1, .string(type)) } }
        let value = typed(typeKeys.contains { configuration[$0] != nil } ? configuration : configuration.setting(typeKeys[0], .string(type)))
        return value[wrapped].map { $0.object == nil ? value : value.setting(wrapped, typed($0)) } ?? value
    }

    /// The type of the model's numbers by config.json; nil where it names none of those that results have.
    static func numberType(_ configuration: JSONValue) -> ScaleType? {
        for place in [configuration, configuration[wrapped]].compactMap({ $0 }) {
            switch (place["dtype"] ?? place["torch_dtype"])?.string {
            case "bfloat16": return .bf16
            case "float16": return .f16
            case "float32": return .f32
            default: continue
            }
        }
        return nil
    }
}
