// What a user should know of a config.json, though it stops nothing.

public import Foundation

extension Architecture {
    /// Keys that nobody reads, classes of other tasks, and code of the model's own: sentences.
    public static func remarks(on configuration: Data, source: String) throws(ArchitectureError) -> [String] {
        let keys = try Configuration(configuration, source: source)
        let family = try family(keys)
        var remarks: [String] = []
        let classes = try keys.strings("architectures") ?? []
        if !classes.isEmpty, !classes.contains(family.names.causalClass) {
            remarks.append(
                "\(source) says that the model is a \(classes.joined(separator: ", ")); it is taken for a \(family.names.causalClass), as transformers' "
                    + "AutoModelForCausalLM takes it for its model_type, \(family.modelType)")
        }
        if let code = try keys.object("auto_map"), code.keys.contains(where: { $0.hasPrefix("AutoModel") }) {
            remarks.append("\(source) names code of the model's own (`auto_map`), which is not run: the model is computed as a plain \(family.modelType)")
        }
        var unknown = keys.keys.filter { !family.keys.knows($0) }.sorted()
        if let text = family.text, let inner = try keys.object(TextModel.key) {
            unknown += inner.keys.filter { !text.keys.knows($0) }.sorted().map { "\(TextModel.key).\($0)" }
        }
        if !unknown.isEmpty {
            remarks.append(
                "\(source) has keys that models of type \(family.modelType) do not have, and which change nothing here, nor in transformers: "
                    + unknown.joined(separator: ", "))
        }
        return remarks
    }
}
