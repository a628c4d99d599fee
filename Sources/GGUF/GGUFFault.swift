// What is wrong with the head of a GGUF file.

/// What is wrong with a head.
package enum GGUFFault: Error, CustomStringConvertible {
    /// It goes on beyond the bytes that were read.
    case tooShort
    case broken(String)

    package var description: String {
        switch self {
        case .tooShort: "The head of the file goes on beyond its end: it was cut off. Fetch it again."
        case .broken(let rule): rule
        }
    }
}
