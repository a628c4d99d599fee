// From config.json to an architecture, by way of its family.

public import Foundation

extension Architecture {
    /// Reads a config.json.
    ///
    /// - Parameters:
    ///   - configuration: the file's bytes.
    ///   - source: the file's name, for messages.
    ///   - tensors: the checkpoint's tensor names where they are known. Where they differ from the family's, the architecture has the checkpoint's.
    public init(configuration: Data, source: String, tensors: Set<String> = []) throws(ArchitectureError) {
        let keys = try Configuration(configuration, source: source, tensors: tensors)
        let family = try Self.family(keys)
        let architecture = try family.read(keys)
        self = architecture.inFile(try architecture.names(tensors, family.names, predictors: Self.predictors(keys), source: source))
    }

    /// Keys that say how many blocks behind the last predict further tokens; no block of the model itself reads them.
    static let predictorKeys: Set<String> = ["num_nextn_predict_layers", "num_mtp_modules", "num_mtp_layers", "mtp_num_hidden_layers", "mtp_num_layers"]

    private static func predictors(_ keys: Configuration) throws(ArchitectureError) -> Int {
        var most = 0
        for key in predictorKeys where try !keys.isNull(key) { most = max(most, try keys.index(key, default: 0)) }
        return most
    }

    static func family(_ keys: Configuration) throws(ArchitectureError) -> Family {
        let modelType = try keys.string("model_type")
        guard let family = Family.all.first(where: { $0.modelType == modelType }) else {
            throw .unknownModelType(source: keys.source, found: modelType, known: Family.all.map(\.modelType).sorted())
        }
        return family
    }
}
