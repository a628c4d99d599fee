// What config.json is to say of a model with fewer experts.

public import JSON

extension Architecture {
    /// A config.json with another number of experts in each block, wherever it says that number.
    ///
    /// - Parameters:
    ///   - configuration: the file's value.
    ///   - count: in place of how many.
    public static func configuration(_ configuration: JSONValue, withExperts new: Int, inPlaceOf count: Int) -> JSONValue {
        func changed(_ value: JSONValue) -> JSONValue {
            ExpertLayer.countKeys.reduce(value) { $0[$1]?.integer == count ? $0.setting($1, .integer(new)) : $0 }
        }
        let result = changed(configuration)
        return result[TextModel.key].map { result.setting(TextModel.key, changed($0)) } ?? result
    }
}
