// Why a config.json cannot be turned into an architecture.

/// A configuration that cannot be used, with the file, the key, what was found and what would do.
public enum ArchitectureError: Error, Equatable, CustomStringConvertible {
    case malformed(source: String, reason: String)
    case missing(source: String, key: String)
    case invalid(source: String, key: String, found: String, expected: String)
    case unsupported(source: String, key: String, found: String, supported: String)
    case unknownModelType(source: String, found: String, known: [String])
    /// An error of the code: a family reads a key that its table of keys does not list.
    case undeclared(source: String, key: String)
    /// Two tensors of a checkpoint stand for the same one of the model.
    case ambiguous(source: String, tensor: String, names: [String])

    public var description: String {
        switch self {
        case .malformed(let source, let reason):
            "\(source) is not a JSON object: \(reason)."
        case .missing(let source, let key):
            "\(source) has no key \"\(key)\", which this kind of model needs."
        case .invalid(let source, let key, let found, let expected):
            "\(source): \"\(key)\" is \(found), but it must be \(expected)."
        case .unsupported(let source, let key, let found, let supported):
            "\(source): \"\(key)\" is \(found), which is not supported; supported: \(supported)."
        case .unknownModelType(let source, let found, let known):
            "\(source): the model_type \"\(found)\" is not known; known: \(known.joined(separator: ", "))."
        case .undeclared(let source, let key):
            "\(source): the key \"\(key)\" is read, but the table of the family's keys does not list it: an error in Cleave itself."
        case .ambiguous(let source, let tensor, let names):
            "\(source): the checkpoint has \(names.joined(separator: " and ")), which both stand for \(tensor); take one of them out."
        }
    }
}
