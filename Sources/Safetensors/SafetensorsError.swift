// The one error of this room: what went wrong, with which file, and of which kind.

/// A file that is missing, refused or not writable, or a request that does not fit the file.
public struct SafetensorsError: Error, CustomStringConvertible, Equatable, Sendable {
    public enum Kind: Sendable, Equatable {
        /// The file or directory does not exist.
        case missing
        /// The file or directory exists, and the system does not let this user read it.
        case notPermitted
        /// The file exists and breaks a rule of its format.
        case malformed
        /// The file is sound and has no tensor of this name.
        case unknownTensor
        /// The caller asked for something impossible, such as a range past the end of a tensor.
        case invalidRequest
        /// The disk or quota is full.
        case diskFull
        /// A file could not be created or written.
        case notWritable
        /// Reading failed.
        case notReadable
        /// The system gave no memory, or no addresses, for the file.
        case noMemory
    }

    public let kind: Kind
    /// The file or directory at fault; nil where none is involved yet.
    public let path: String?
    /// A sentence without the path.
    public let reason: String

    public init(_ kind: Kind, path: String?, _ reason: String) {
        self.kind = kind
        self.path = path
        self.reason = reason
    }

    public var description: String {
        path.map { "\($0): \(reason)" } ?? reason
    }
}
